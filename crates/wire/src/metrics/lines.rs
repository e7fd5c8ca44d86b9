//! Where lines begin, found 64 bytes at a time.
//!
//! Lines of a metrics page are short, so that a search for each newline costs more than the bytes in between.
//! Here 64 comparisons become one mask of bits. Written so that the compiler makes vector code of it.

const BLOCK: usize = 64;

/// Calls `each` with what is left of `page` from the beginning of each line on; never with nothing.
pub(super) fn for_each_line<'p>(page: &'p [u8], mut each: impl FnMut(&'p [u8])) {
    let mut begin = |at: usize| match page.get(at..) {
        Some(line) if !line.is_empty() => each(line),
        _ => {}
    };
    begin(0);
    let (blocks, tail) = page.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().enumerate() {
        let mut newlines = newlines(block);
        while newlines != 0 {
            begin(index * BLOCK + newlines.trailing_zeros() as usize + 1);
            newlines &= newlines - 1;
        }
    }
    let tail_at = page.len() - tail.len();
    for (at, byte) in tail.iter().enumerate() {
        if *byte == b'\n' {
            begin(tail_at + at + 1);
        }
    }
}

/// Bit n is set where byte n is a newline.
fn newlines(block: &[u8; BLOCK]) -> u64 {
    // The product moves the lowest bits of eight bytes into its highest byte, in order.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let flags = block.map(|byte| u8::from(byte == b'\n'));
    let (words, _) = flags.as_chunks::<8>();
    let masks = words.iter().enumerate();
    masks.fold(0, |mask, (index, word)| {
        mask | (u64::from_le_bytes(*word).wrapping_mul(GATHER) >> 56) << (8 * index)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_begin_after_every_newline_wherever_it_is() {
        for length in [0, 1, 63, 64, 65, 127, 128, 200] {
            for step in [1, 2, 3, 7, 63, 64, 65] {
                let page: Vec<u8> =
                    (0..length).map(|at| if at % step == step - 1 { b'\n' } else { b'x' }).collect();
                let mut found = Vec::new();
                for_each_line(&page, |line| found.push(page.len() - line.len()));
                let expected: Vec<_> = (0..length).filter(|at| *at == 0 || page[at - 1] == b'\n').collect();
                assert_eq!(found, expected, "{length} bytes, a newline every {step}");
            }
        }
    }
}
