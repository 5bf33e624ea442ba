//! Where Envoy puts what it hands over.
//!
//! For each value it asks the module for memory, copies, and leaves the memory to the module. A name
//! is short and is forgotten within the callback, so there is a small room for them; the allocator,
//! which costs more than the comparison of two names, gets what does not fit.

#![expect(unsafe_code, reason = "the host writes to memory by its address")]

use std::cell::{Cell, UnsafeCell};
use std::ops::Deref;
use std::{ptr, slice};

/// Octets: some names of the greatest length that DNS has (RFC 1035 §2.3.4).
const ROOM: usize = 1024;

thread_local! {
    static OCTETS: UnsafeCell<[u8; ROOM]> = const { UnsafeCell::new([0; ROOM]) };
    static USED: Cell<usize> = const { Cell::new(0) };
    /// How many values are in the room. The last that goes clears it.
    static VALUES: Cell<usize> = const { Cell::new(0) };
}

/// Bytes that Envoy handed over.
pub(crate) struct Received {
    data: *mut u8,
    size: usize,
}

/// Memory for a value of `size` octets.
pub(crate) fn allocate(size: usize) -> *mut u8 {
    let used = USED.get();
    let end = used.saturating_add(size);
    if end > ROOM {
        return Box::into_raw(vec![0; size].into_boxed_slice()).cast();
    }
    USED.set(end);
    VALUES.set(VALUES.get() + 1);
    room().wrapping_add(used)
}

fn room() -> *mut u8 {
    OCTETS.with(UnsafeCell::get).cast()
}

impl Received {
    /// Takes what the host wrote.
    ///
    /// # Safety
    /// `data` is null, or came from [`allocate`] with this `size` and is taken once.
    pub(crate) unsafe fn take(data: *mut u8, size: usize) -> Self {
        Self { data, size }
    }
}

impl Default for Received {
    fn default() -> Self {
        Self {
            data: ptr::null_mut(),
            size: 0,
        }
    }
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.data.is_null() {
            return &[];
        }
        // SAFETY: the memory is initialised, and nobody else has it until it is dropped.
        unsafe { slice::from_raw_parts(self.data, self.size) }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if self.data.is_null() {
            return;
        }
        let start = room();
        if (start..start.wrapping_add(ROOM)).contains(&self.data) {
            let others = VALUES.get().saturating_sub(1);
            VALUES.set(others);
            if others == 0 {
                USED.set(0);
            }
        } else {
            // SAFETY: `allocate` made it as a box of this size.
            drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(self.data, self.size)) });
        }
    }
}
