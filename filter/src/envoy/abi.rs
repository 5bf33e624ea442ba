//! The calls into Envoy, as Proxy-Wasm 0.2.1 defines them.
//!
//! The SDK's own `hostcalls` panic on every status that they do not expect, and a panic takes down
//! the VM of a worker with all its requests. They also cannot distinguish an attribute that is missing
//! from an empty one, nor set the details of a response. So the few calls that the filter makes are
//! declared here once more, with every status as a value.

#![expect(unsafe_code, reason = "the host's functions are foreign ones")]

use std::ptr;

use crate::header_map;
use crate::memory::Received;

/// Any status but OK, by its number (proxy-wasm `proxy_result_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u32);

impl Status {
    /// What was asked for is not there.
    pub(crate) const NOT_FOUND: Self = Self(1);
    /// Another worker wrote the shared data first.
    pub(crate) const CAS_MISMATCH: Self = Self(8);
}

/// The kinds of metric that are used here (proxy-wasm `proxy_metric_type_t`).
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum MetricKind {
    Counter = 0,
    Gauge = 1,
}

const REQUEST_HEADERS: u32 = 0;
const PLUGIN_CONFIGURATION: u32 = 7;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        cas: u32,
    ) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        argument: *const u8,
        argument_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
    fn proxy_get_metric(id: u32, value: *mut u64) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
}

/// Writes a line to Envoy's log. `level` counts from 0, trace, to 5, critical.
pub(crate) fn log(level: u32, message: &str) -> Result<(), Status> {
    // SAFETY: the host reads `message` during the call.
    ok(unsafe { proxy_log(level, message.as_ptr(), message.len()) })
}

/// The time of day, in nanoseconds since 1970.
pub(crate) fn now_nanoseconds() -> Result<u64, Status> {
    let mut time = 0;
    // SAFETY: the host writes one u64 to `time` during the call.
    ok(unsafe { proxy_get_current_time_nanoseconds(&raw mut time) })?;
    Ok(time)
}

/// Calls a function of Envoy that Proxy-Wasm does not define (Envoy
/// `source/extensions/common/wasm/foreign.cc`).
pub(crate) fn call_foreign_function(name: &str, argument: &[u8]) -> Result<Received, Status> {
    // SAFETY: the host reads `name` and `argument` during the call; the rest as `received` demands.
    received(|data, size| unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            argument.as_ptr(),
            argument.len(),
            data,
            size,
        )
    })
}

/// Whether Envoy still has a context. The calls that follow in this callback are made in its name, so
/// this is for the end of a callback.
pub(crate) fn is_context(context: u32) -> bool {
    // SAFETY: no memory is shared.
    ok(unsafe { proxy_set_effective_context(context) }).is_ok()
}

/// The `pluginConfig`, as Envoy hands it over: JSON, or nothing.
pub(crate) fn plugin_configuration() -> Result<Received, Status> {
    // SAFETY: as `received` demands.
    received(|data, size| unsafe {
        proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, usize::MAX, data, size)
    })
}

/// An attribute of Envoy. `path` holds its parts with a NUL between them, as the host expects, so that
/// no request has to join them.
pub(crate) fn property(path: &str) -> Result<Received, Status> {
    // SAFETY: the host reads `path` during the call; the rest as `received` demands.
    received(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

/// Sets an attribute of the request. Envoy keeps it in its filter state, with `wasm.` in front of the
/// name.
pub(crate) fn set_property(name: &str, value: &str) -> Result<(), Status> {
    // SAFETY: the host reads both texts during the call.
    ok(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// What the VMs of all workers share under a key, and its version, which
/// [`set_shared_data`] compares.
pub(crate) fn shared_data(key: &str) -> Result<(Received, u32), Status> {
    let mut version = 0;
    // SAFETY: the host reads `key` and writes one u32 to `version` during the call; the rest as
    // `received` demands.
    let data = received(|data, size| unsafe {
        proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut version)
    })?;
    Ok((data, version))
}

/// Sets what the VMs of all workers share under a key. With a version other than 0 it fails with
/// [`Status::CAS_MISMATCH`] when there is another version by now.
pub(crate) fn set_shared_data(key: &str, value: &[u8], version: u32) -> Result<(), Status> {
    // SAFETY: the host reads `key` and `value` during the call.
    ok(unsafe {
        proxy_set_shared_data(
            key.as_ptr(),
            key.len(),
            value.as_ptr(),
            value.len(),
            version,
        )
    })
}

/// Has Envoy call `proxy_on_tick` again and again for the root context of this callback.
pub(crate) fn set_tick_period(milliseconds: u32) -> Result<(), Status> {
    // SAFETY: no memory is shared.
    ok(unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
}

/// The value of a request header, of several with one name the first.
pub(crate) fn request_header(name: &str) -> Result<Received, Status> {
    // SAFETY: the host reads `name` during the call; the rest as `received` demands.
    received(|data, size| unsafe {
        proxy_get_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len(), data, size)
    })
}

/// Announces a metric and returns its identifier.
pub(crate) fn define_metric(kind: MetricKind, name: &str) -> Result<u32, Status> {
    let mut id = 0;
    // SAFETY: the host reads `name` and writes one u32 to `id` during the call.
    ok(unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

/// The value of a metric.
pub(crate) fn metric(id: u32) -> Result<u64, Status> {
    let mut value = 0;
    // SAFETY: the host writes one u64 to `value` during the call.
    ok(unsafe { proxy_get_metric(id, &raw mut value) })?;
    Ok(value)
}

/// Adds to a counter or a gauge.
pub(crate) fn increment_metric(id: u32, offset: i64) -> Result<(), Status> {
    // SAFETY: no memory is shared.
    ok(unsafe { proxy_increment_metric(id, offset) })
}

/// Answers the request. `details` are what `%RESPONSE_CODE_DETAILS%` shows; `grpc_status` is -1 for
/// none.
pub(crate) fn send_local_response(
    status: u32,
    details: &str,
    headers: &[(&str, &str)],
    body: &str,
    grpc_status: i32,
) -> Result<(), Status> {
    let headers = header_map::encode(headers);
    // SAFETY: the host reads the four slices during the call.
    ok(unsafe {
        proxy_send_local_response(
            status,
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status,
        )
    })
}

fn ok(status: u32) -> Result<(), Status> {
    if status == 0 {
        Ok(())
    } else {
        Err(Status(status))
    }
}

/// Makes a call that returns bytes. An empty value comes without memory.
///
/// `call` must be a host function that writes to its two arguments, during the call, either nothing
/// or the address and the size of memory it got from this module's `proxy_on_memory_allocate`.
fn received(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Received, Status> {
    let mut data = ptr::null_mut();
    let mut size = 0;
    ok(call(&raw mut data, &raw mut size))?;
    // SAFETY: `proxy_on_memory_allocate` is `memory::allocate`, and no one else took it.
    Ok(unsafe { Received::take(data, size) })
}
