//! Where Envoy puts the values that it returns.
//!
//! For each value Envoy asks the module for memory (`proxy_on_memory_allocate`), copies the value
//! there, and leaves the memory to the module. Names are short and are dropped within the callback
//! that asked for them, so they share a fixed arena: taking a piece of it is an addition, while the
//! allocator costs more than the comparison of two names. What does not fit comes from the allocator.
//!
//! The arena is a stack that is only ever emptied at once. `USED` is where its free part begins, and
//! `VALUES` is the number of pieces that are in use. [`allocate`] raises both. The drop of a
//! [`Received`] lowers `VALUES`, and the last one sets `USED` to 0. A piece that Envoy allocates and
//! never returns, because the call failed in between, keeps the arena from being emptied: then it
//! fills up, and every later value comes from the allocator, which is slower but right.

#![expect(unsafe_code, reason = "the host writes to memory by its address")]

use std::cell::{Cell, UnsafeCell};
use std::ops::Deref;
use std::{ptr, slice};

/// The size of the arena in octets: four names of the greatest length that DNS has (RFC 1035 §2.3.4).
const ARENA: usize = 1024;

thread_local! {
    static OCTETS: UnsafeCell<[u8; ARENA]> = const { UnsafeCell::new([0; ARENA]) };
    static USED: Cell<usize> = const { Cell::new(0) };
    static VALUES: Cell<usize> = const { Cell::new(0) };
}

/// Bytes that Envoy returned.
#[derive(Debug)]
pub struct Received {
    data: *mut u8,
    size: usize,
}

/// Memory for a value of `size` octets.
#[must_use]
pub fn allocate(size: usize) -> *mut u8 {
    let used = USED.get();
    let end = used.saturating_add(size);
    if end > ARENA {
        return Box::into_raw(vec![0_u8; size].into_boxed_slice()).cast();
    }
    USED.set(end);
    VALUES.set(VALUES.get() + 1);
    arena().wrapping_add(used)
}

fn arena() -> *mut u8 {
    OCTETS.with(UnsafeCell::get).cast()
}

impl Received {
    /// Takes what the host wrote.
    ///
    /// # Safety
    /// `data` is null, or came from [`allocate`] with this `size` and is taken once.
    #[must_use]
    pub unsafe fn take(data: *mut u8, size: usize) -> Self {
        Self { data, size }
    }

    fn is_in_arena(&self) -> bool {
        let start = arena();
        (start..start.wrapping_add(ARENA)).contains(&self.data)
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
        // SAFETY: the memory is initialised, and no one else has it until it is dropped.
        unsafe { slice::from_raw_parts(self.data, self.size) }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if self.data.is_null() {
            return;
        }
        if !self.is_in_arena() {
            let allocated = ptr::slice_from_raw_parts_mut(self.data, self.size);
            // SAFETY: `allocate` made it as a box of this size.
            drop(unsafe { Box::from_raw(allocated) });
            return;
        }
        // The last value to go empties the arena.
        let others = VALUES.get().saturating_sub(1);
        VALUES.set(others);
        if others == 0 {
            USED.set(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::{GlobalAlloc, Layout, System};

    thread_local! {
        /// The octets that this thread has from the allocator.
        static ALLOCATED: Cell<isize> = const { Cell::new(0) };
    }

    struct Counting;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    fn count(octets: usize, sign: isize) {
        let octets = isize::try_from(octets).unwrap_or_default();
        // The thread may be ending.
        let _ = ALLOCATED.try_with(|allocated| allocated.set(allocated.get() + sign * octets));
    }

    // SAFETY: the system's allocator does the work.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            count(layout.size(), 1);
            // SAFETY: as for this function.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
            count(layout.size(), -1);
            // SAFETY: as for this function.
            unsafe { System.dealloc(data, layout) }
        }
    }

    /// What the host does to return a value.
    fn receive(value: &[u8]) -> Received {
        let data = allocate(value.len());
        // SAFETY: `allocate` gave this many octets, and the value is taken once.
        unsafe {
            data.copy_from_nonoverlapping(value.as_ptr(), value.len());
            Received::take(data, value.len())
        }
    }

    fn allocated(work: impl FnOnce()) -> isize {
        let before = ALLOCATED.get();
        work();
        ALLOCATED.get() - before
    }

    #[test]
    fn values_keep_their_octets_and_the_arena_is_used_again() {
        let start = arena();
        for _ in 0..100 {
            let (one, two) = (receive(b"a.example.com"), receive(&[7; 900]));
            assert_eq!((one.data, &*one), (start, b"a.example.com".as_slice()));
            assert_eq!(
                (two.data, &*two),
                (start.wrapping_add(13), [7; 900].as_slice())
            );
        }
        assert_eq!((USED.get(), VALUES.get()), (0, 0));
    }

    #[test]
    fn the_arena_is_not_emptied_under_a_value_that_is_in_use() {
        let one = receive(b"one");
        drop(receive(b"two"));
        let three = receive(b"three");
        assert_eq!((&*one, &*three), (b"one".as_slice(), b"three".as_slice()));
        drop(one);
        let four = receive(b"four");
        assert_eq!((&*three, &*four), (b"three".as_slice(), b"four".as_slice()));
    }

    #[test]
    fn short_values_need_no_allocator() {
        let used = allocated(|| {
            let full = receive(&[1; ARENA]);
            assert!(full.is_in_arena());
        });
        assert_eq!(used, 0);
    }

    #[test]
    fn long_values_come_from_the_allocator_and_go_back() {
        let size = isize::try_from(ARENA + 1).unwrap();
        let mut value = None;
        assert_eq!(allocated(|| value = Some(receive(&[1; ARENA + 1]))), size);
        assert!(!value.as_ref().unwrap().is_in_arena());
        assert_eq!(value.as_deref(), Some([1; ARENA + 1].as_slice()));
        assert_eq!(allocated(|| value = None), -size);
        assert_eq!((USED.get(), VALUES.get()), (0, 0));
    }

    #[test]
    fn what_does_not_fit_beside_others_comes_from_the_allocator() {
        let first = receive(&[1; ARENA - 4]);
        let mut second = None;
        assert_eq!(allocated(|| second = Some(receive(b"12345"))), 5);
        let third = receive(b"1234");
        assert!(third.is_in_arena());
        assert_eq!(
            (&*first, &*third),
            ([1; ARENA - 4].as_slice(), b"1234".as_slice())
        );
        assert_eq!(allocated(|| second = None), -5);
        drop((first, third));
        assert_eq!((USED.get(), VALUES.get()), (0, 0));
    }

    #[test]
    fn an_empty_value_comes_without_memory() {
        let empty = Received::default();
        assert!(empty.is_empty());
        drop(empty);
        assert_eq!((USED.get(), VALUES.get()), (0, 0));
    }

    #[test]
    fn a_value_that_was_never_taken_makes_later_ones_slower_and_not_wrong() {
        let _ = allocate(ARENA);
        for _ in 0..3 {
            assert_eq!(&*receive(b"later"), b"later");
        }
        assert_eq!((USED.get(), VALUES.get()), (ARENA, 1));
    }
}
