//! Which configuration a request belongs to.
//!
//! Envoy makes a root context for each configuration, and a context for each request, with the number
//! of its root. It asks about a request right after it made the context. The SDK keeps an object for
//! each context in a hash table until Envoy says that it is gone. The filter knows nothing of a
//! request once it has decided, so it keeps the last context only and need not know when one ends.
//! That makes a request cheaper by a quarter of what the filter adds to it.
//!
//! One VM may run several configurations, and nothing but the call for a new context says to which of
//! them a request belongs: during an update both the old and the new one have the same plugin name.

use std::cell::{Cell, RefCell};

use proxy_wasm::types::Action;

use super::abi;
use super::guard::Guard;

thread_local! {
    /// The configurations of this VM, by their root contexts. They are few: one for each plugin, and
    /// for a while two when one is replaced.
    static GUARDS: RefCell<Vec<(u32, Guard)>> = const { RefCell::new(Vec::new()) };
    /// The last context of a request, with its root context.
    static LAST: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// A root context has a configuration, which is always accepted: see the head of the crate.
pub(crate) fn configure(root: u32) {
    let guard = Guard::configure();
    GUARDS.with_borrow_mut(|guards| {
        // A configuration that was replaced earlier is gone by now, or goes next time.
        guards.retain(|(id, _)| *id != root && abi::is_context(*id));
        guards.push((root, guard));
    });
}

/// A root context is still there.
pub(crate) fn on_tick(root: u32) {
    with_guard(root, Guard::on_tick);
}

/// A request begins.
pub(crate) fn begin(context: u32, root: u32) {
    LAST.set((context, root));
}

/// Decides on the request of a context.
pub(crate) fn on_request_headers(context: u32) -> Action {
    let (last, root) = LAST.get();
    if last != context {
        // Its configuration is not known, so it passes.
        return Action::Continue;
    }
    with_guard(root, Guard::on_request_headers).unwrap_or(Action::Continue)
}

fn with_guard<T>(root: u32, act: impl FnOnce(&Guard) -> T) -> Option<T> {
    GUARDS.with_borrow(|guards| {
        let (_, guard) = guards.iter().find(|(id, _)| *id == root)?;
        Some(act(guard))
    })
}
