//! The allocator. An instance serves one request and its memory is freed with it, so blocks are never joined or given
//! back to the host: a freed block goes into the list of its size and is used again. That costs a tenth of what a general
//! allocator costs.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr::{NonNull, null_mut};

/// Blocks are 16 bytes and the powers of two from there.
const SMALLEST: usize = 16;
const CLASSES: usize = 28;
const PAGE: usize = 64 << 10;
/// The host is asked for at least this much at once.
const STEP: usize = 512 << 10;
/// What a component is born with, enough for an ordinary request: to ask the host for memory costs it a system call.
const FIRST: usize = 512 << 10;

#[repr(align(16))]
struct First(UnsafeCell<[u8; FIRST]>);

// SAFETY: the component has one thread.
unsafe impl Sync for First {}

/// Zeros that nobody has touched yet, so they are neither in the file nor in the machine's memory.
static FIRST_MEMORY: First = First(UnsafeCell::new([0; FIRST]));

#[global_allocator]
static ALLOCATOR: Blocks = Blocks(UnsafeCell::new(State { next: 0, end: 0, free: [null_mut(); CLASSES] }));

struct Blocks(UnsafeCell<State>);

// SAFETY: the component has one thread.
unsafe impl Sync for Blocks {}

struct State {
    /// Where memory that was never used begins, and where it ends.
    next: usize,
    end: usize,
    /// The first free block of each size; its first word names the next one.
    free: [*mut Link; CLASSES],
}

struct Link {
    next: *mut Link,
}

/// The class of a size.
fn class_of(size: usize) -> usize {
    (size.max(SMALLEST).next_power_of_two() / SMALLEST).trailing_zeros() as usize
}

impl State {
    /// A block of memory that was never used. Null if the host gives no more.
    #[inline(never)]
    fn fresh(&mut self, size: usize) -> *mut u8 {
        if self.end == 0 {
            self.next = FIRST_MEMORY.0.get() as usize;
            self.end = self.next + FIRST;
        }
        if size <= self.end - self.next {
            let start = self.next;
            self.next += size;
            return start as *mut u8;
        }
        let pages = size.max(STEP).div_ceil(PAGE);
        let before = core::arch::wasm32::memory_grow::<0>(pages);
        if before == usize::MAX {
            return null_mut();
        }
        // Another user of memory may have grown it in between; what is left of the old part is then lost.
        let grown = before * PAGE;
        if grown != self.end {
            self.next = grown;
        }
        self.end = grown + pages * PAGE;
        let start = self.next;
        self.next += size;
        start as *mut u8
    }
}

// SAFETY: a block is handed out once until it is freed, is as large as its class says, which is at least the layout's
// size, and is aligned to 16 bytes, as all of them and all pages are multiples of that; a layout that wants more gets a
// block in which there is room for it.
unsafe impl GlobalAlloc for Blocks {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread, and nothing below calls back.
        let state = unsafe { &mut *self.0.get() };
        if layout.align() > SMALLEST {
            let room = class_of(layout.size() + layout.align());
            if room >= CLASSES {
                return null_mut();
            }
            let block = state.fresh(SMALLEST << room);
            return block.map_addr(|address| address.next_multiple_of(layout.align()));
        }
        let class = class_of(layout.size());
        if class >= CLASSES {
            return null_mut();
        }
        match NonNull::new(state.free[class]) {
            Some(block) => {
                // SAFETY: a free block holds a link, written when it was freed.
                state.free[class] = unsafe { block.as_ref().next };
                block.as_ptr().cast()
            }
            None => state.fresh(SMALLEST << class),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // The start of such a block is not known any more; they are rare.
        if layout.align() > SMALLEST {
            return;
        }
        // SAFETY: one thread; the block is of this class and nobody uses it any more.
        unsafe {
            let state = &mut *self.0.get();
            let class = class_of(layout.size());
            let link: *mut Link = block.cast();
            link.write(Link { next: state.free[class] });
            state.free[class] = link;
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are those of `alloc` and `dealloc`.
        unsafe {
            if layout.align() <= SMALLEST && class_of(size) == class_of(layout.size()) {
                return block;
            }
            if layout.align() <= SMALLEST && class_of(size) < CLASSES {
                // The newest block grows where it is: most texts are written at the end of all others.
                let state = &mut *self.0.get();
                let (held, wanted) = (SMALLEST << class_of(layout.size()), SMALLEST << class_of(size));
                if block as usize + held == state.next
                    && wanted > held
                    && wanted - held <= state.end - state.next
                {
                    state.next += wanted - held;
                    return block;
                }
            }
            let wanted = Layout::from_size_align_unchecked(size, layout.align());
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}
