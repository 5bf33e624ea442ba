//! The functions that Envoy offers to a module (proxy-wasm-cpp-host `include/proxy-wasm/exports.h`).
//! Envoy does not load a module that imports another function, or one of these with another signature.

use wasmparser::ValType::{self, I32, I64};

/// The module name of Proxy-Wasm's functions in imports.
pub const ENV: &str = "env";
/// The module name of WASI's functions in imports.
pub const WASI: &str = "wasi_snapshot_preview1";

/// The parameters and results of a function.
pub type Signature = (Vec<ValType>, Vec<ValType>);

/// The signature of a function that Envoy offers to modules of a version of the ABI, such as
/// `0_2_1`; `None` if Envoy offers no function of that name.
#[must_use]
pub fn signature(module: &str, name: &str, abi_version: &str) -> Option<Signature> {
    match module {
        ENV => {
            // The tables have the names without this prefix.
            let name = name.strip_prefix("proxy_")?;
            if is_offered(name, abi_version) {
                proxy(name)
            } else {
                None
            }
        }
        WASI => wasi(name),
        _ => None,
    }
}

/// Every function that the newest Envoy offers to modules of a version of the ABI, as module, name, signature.
pub fn all(abi_version: &str) -> impl Iterator<Item = (&'static str, String, Signature)> {
    PROXY
        .iter()
        .map(|(name, _)| *name)
        .chain(OTHERS)
        .map(|name| (ENV, format!("proxy_{name}")))
        .chain(
            WASI_FUNCTIONS
                .into_iter()
                .chain(NEWER_WASI_FUNCTIONS)
                .map(|name| (WASI, name.to_owned())),
        )
        .filter_map(move |(module, name)| {
            let signature = signature(module, &name, abi_version)?;
            Some((module, name, signature))
        })
}

/// Whether a version of the ABI has a function: the versions differ in a few functions.
fn is_offered(name: &str, abi_version: &str) -> bool {
    match name {
        "clear_route_cache" | "continue_request" | "continue_response" | "get_configuration" => {
            abi_version == "0_1_0"
        }
        "close_stream" | "continue_stream" => abi_version != "0_1_0",
        "get_log_level" => abi_version == "0_2_1",
        _ => true,
    }
}

/// Functions whose parameters are all `i32`, with the number of parameters. All return a status.
const PROXY: [(&str, usize); 40] = [
    ("add_header_map_value", 5),
    ("call_foreign_function", 6),
    ("clear_route_cache", 0),
    ("close_stream", 1),
    ("continue_request", 0),
    ("continue_response", 0),
    ("continue_stream", 1),
    ("define_metric", 4),
    ("dequeue_shared_queue", 3),
    ("done", 0),
    ("enqueue_shared_queue", 3),
    ("get_buffer_bytes", 5),
    ("get_buffer_status", 3),
    ("get_configuration", 2),
    ("get_current_time_nanoseconds", 1),
    ("get_header_map_pairs", 3),
    ("get_header_map_size", 2),
    ("get_header_map_value", 5),
    ("get_log_level", 1),
    ("get_metric", 2),
    ("get_property", 4),
    ("get_shared_data", 5),
    ("get_status", 3),
    ("grpc_call", 12),
    ("grpc_cancel", 1),
    ("grpc_close", 1),
    ("grpc_send", 4),
    ("grpc_stream", 9),
    ("http_call", 10),
    ("log", 3),
    ("register_shared_queue", 3),
    ("remove_header_map_value", 3),
    ("replace_header_map_value", 5),
    ("resolve_shared_queue", 5),
    ("send_local_response", 8),
    ("set_buffer_bytes", 5),
    ("set_effective_context", 1),
    ("set_header_map_pairs", 3),
    ("set_property", 4),
    ("set_shared_data", 5),
];

/// Functions with other parameters. They return a status too.
const OTHERS: [&str; 3] = [
    "increment_metric",
    "record_metric",
    "set_tick_period_milliseconds",
];

fn proxy(name: &str) -> Option<Signature> {
    let parameters = match name {
        "increment_metric" | "record_metric" => vec![I32, I64],
        "set_tick_period_milliseconds" => vec![I32],
        _ => {
            let (_, count) = PROXY.iter().find(|(known, _)| *known == name)?;
            vec![I32; *count]
        }
    };
    Some((parameters, vec![I32]))
}

/// The functions of WASI that every Envoy offers, from 1.36 on.
const WASI_FUNCTIONS: [&str; 18] = [
    "args_get",
    "args_sizes_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_close",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_read",
    "fd_seek",
    "fd_write",
    "path_open",
    "poll_oneoff",
    "proc_exit",
    "random_get",
    "sched_yield",
];

/// The functions of WASI that Envoy 1.40 offers and Envoy 1.36 does not. We did not try the releases between.
const NEWER_WASI_FUNCTIONS: [&str; 27] = [
    "clock_res_get",
    "fd_advise",
    "fd_allocate",
    "fd_datasync",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_pwrite",
    "fd_readdir",
    "fd_renumber",
    "fd_sync",
    "fd_tell",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
];

/// Whether only new releases of Envoy offer a function.
pub(crate) fn is_new(module: &str, name: &str) -> bool {
    module == WASI && NEWER_WASI_FUNCTIONS.contains(&name)
}

fn wasi(name: &str) -> Option<Signature> {
    let parameters: &[ValType] = match name {
        "sched_yield" => &[],
        "fd_close" | "fd_datasync" | "fd_sync" => &[I32],
        "args_get"
        | "args_sizes_get"
        | "clock_res_get"
        | "environ_get"
        | "environ_sizes_get"
        | "fd_fdstat_get"
        | "fd_fdstat_set_flags"
        | "fd_filestat_get"
        | "fd_prestat_get"
        | "fd_renumber"
        | "fd_tell"
        | "random_get"
        | "sock_shutdown" => &[I32, I32],
        "fd_filestat_set_size" => &[I32, I64],
        "fd_prestat_dir_name"
        | "path_create_directory"
        | "path_remove_directory"
        | "path_unlink_file"
        | "sock_accept" => &[I32, I32, I32],
        "clock_time_get" => &[I32, I64, I32],
        "fd_allocate" | "fd_fdstat_set_rights" => &[I32, I64, I64],
        // WASI has one more parameter in `path_symlink` and `path_link` than Envoy.
        "fd_read" | "fd_write" | "path_symlink" | "poll_oneoff" => &[I32, I32, I32, I32],
        "fd_seek" => &[I32, I64, I32, I32],
        "fd_advise" | "fd_filestat_set_times" => &[I32, I64, I64, I32],
        "path_filestat_get" | "sock_send" => &[I32, I32, I32, I32, I32],
        "fd_pread" | "fd_pwrite" | "fd_readdir" => &[I32, I32, I32, I64, I32],
        "path_link" | "path_readlink" | "path_rename" | "sock_recv" => {
            &[I32, I32, I32, I32, I32, I32]
        }
        "path_filestat_set_times" => &[I32, I32, I32, I32, I64, I64, I32],
        "path_open" => &[I32, I32, I32, I32, I32, I64, I64, I32, I32],
        // The only function that does not return.
        "proc_exit" => return Some((vec![I32], vec![])),
        _ => return None,
    };
    Some((parameters.to_vec(), vec![I32]))
}
