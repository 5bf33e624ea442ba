//! Which configuration a request belongs to.
//!
//! Envoy makes a root context for each configuration, and a context for each request. It would say which
//! root a request has in a call for each new context, and that call costs a tenth of what the filter adds
//! to a request. Nearly always a VM has one configuration, so nothing has to be known.
//!
//! With several configurations the filter asks. Plugin names do not distinguish them: during an update
//! both have the same. Envoy keeps expressions for each root context (Envoy
//! `source/extensions/common/wasm/foreign.cc`, `expr_create`), so each root gets one whose value is its
//! own number, and a request evaluates the one of its root.

use std::cell::{Cell, RefCell};

use log::error;
use proxy_wasm::types::Action;

use super::abi;
use super::guard::Guard;

thread_local! {
    /// The configurations of this VM, by their root contexts. They are few: one for each plugin, and
    /// for a while two when one is replaced.
    static GUARDS: RefCell<Vec<(u32, Guard)>> = const { RefCell::new(Vec::new()) };
    /// How Envoy numbers the first expression of a root context, which is alike for all of them.
    static EXPRESSION: Cell<[u8; 4]> = const { Cell::new([0; 4]) };
    /// An Envoy that cannot evaluate the expression never can, so only the first request is logged.
    static HAS_LOGGED_UNKNOWN: Cell<bool> = const { Cell::new(false) };
}

/// A root context has a configuration, which is always accepted: see the head of the crate.
pub(crate) fn configure(root: u32) {
    // Where this fails, requests cannot find their configuration among several.
    let number = abi::call_foreign_function("expr_create", format!("\"{root}\"").as_bytes());
    if let Ok(number) = number.as_deref().unwrap_or_default().try_into() {
        EXPRESSION.set(number);
    }
    let guard = Guard::configure();
    GUARDS.with_borrow_mut(|guards| {
        guards.retain(|(id, _)| *id != root);
        guards.push((root, guard));
    });
    forget_ended();
}

/// A root context is still there.
pub(crate) fn on_tick(root: u32) {
    with_guard(root, Guard::on_tick);
    forget_ended();
}

/// Drops the configurations that Envoy has no more. Envoy makes the calls that follow in this callback in
/// the name of another context, so this comes last.
fn forget_ended() {
    GUARDS.with_borrow_mut(|guards| {
        if guards.len() > 1 {
            guards.retain(|(id, _)| abi::is_context(*id));
        }
    });
}

/// Decides on a request.
pub(crate) fn on_request_headers() -> Action {
    let only = GUARDS.with_borrow(|guards| match guards.as_slice() {
        [(_, only)] => Some(only.on_request_headers()),
        _ => None,
    });
    only.unwrap_or_else(|| {
        let action = root_of_request().and_then(|root| with_guard(root, Guard::on_request_headers));
        action.unwrap_or_else(pass_unknown)
    })
}

/// The root context of the request of this callback.
fn root_of_request() -> Option<u32> {
    let value = abi::call_foreign_function("expr_evaluate", &EXPRESSION.get()).ok()?;
    std::str::from_utf8(&value).ok()?.parse().ok()
}

/// A request whose configuration is not known passes.
fn pass_unknown() -> Action {
    if !HAS_LOGGED_UNKNOWN.replace(true) {
        error!("Envoy does not say which of several configurations a request has, it passes");
    }
    Action::Continue
}

fn with_guard<T>(root: u32, act: impl FnOnce(&Guard) -> T) -> Option<T> {
    GUARDS.with_borrow(|guards| {
        let (_, guard) = guards.iter().find(|(id, _)| *id == root)?;
        Some(act(guard))
    })
}
