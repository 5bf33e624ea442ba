//! Which configuration a request belongs to.
//!
//! Envoy makes a context for each request, with the number of the root context that holds its
//! configuration, and asks about the request right after that. The SDK keeps an object for each
//! context in a hash table until Envoy deletes it. The filter knows nothing of a request once it has
//! decided, so it remembers the last context alone, which makes a request cheaper by a quarter.

use std::cell::{Cell, RefCell};

use proxy_wasm::types::Action;

use crate::Guard;

thread_local! {
    /// The configurations of this VM, by their root contexts. They are few: one for each plugin, and
    /// for a while two when one is replaced.
    static ROOTS: RefCell<Vec<(u32, Option<Guard>)>> = const { RefCell::new(Vec::new()) };
    /// The last context of a request, with its root context.
    static LAST: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

pub(crate) fn add_root(root: u32) {
    change_roots(|roots| roots.push((root, None)));
}

pub(crate) fn remove_root(root: u32) {
    change_roots(|roots| roots.retain(|(id, _)| *id != root));
}

pub(crate) fn set_guard(root: u32, guard: Guard) {
    change_roots(|roots| {
        if let Some((_, slot)) = roots.iter_mut().find(|(id, _)| *id == root) {
            *slot = Some(guard);
        }
    });
}

pub(crate) fn is_root(context: u32) -> bool {
    ROOTS.with_borrow(|roots| roots.iter().any(|(id, _)| *id == context))
}

/// A request begins.
pub(crate) fn begin(context: u32, root: u32) {
    LAST.set((context, root));
}

/// Decides on the request of a context.
pub(crate) fn on_request_headers(context: u32) -> Action {
    let (last, root) = LAST.get();
    if last != context {
        // Nothing is known of it, so nothing can be held against it.
        return Action::Continue;
    }
    ROOTS.with_borrow(|roots| {
        let guard = roots.iter().find(|(id, _)| *id == root).and_then(|(_, guard)| guard.as_ref());
        guard.map_or(Action::Continue, Guard::on_request_headers)
    })
}

fn change_roots(change: impl FnOnce(&mut Vec<(u32, Option<Guard>)>)) {
    ROOTS.with_borrow_mut(change);
}
