// SPDX-License-Identifier: AGPL-3.0-or-later
//! Texts of any characters in any pieces through the stream guard: what is released is what the check of the whole text
//! gives, what is held back is bounded, and the work is linear.
#![no_main]

use std::sync::LazyLock;

use bho_guard::{Guard, MAX_HELD, Mode, Policy, StreamGuard};
use libfuzzer_sys::fuzz_target;

/// Never blocks, so that all of a text can be compared.
static GUARD: LazyLock<Guard> = LazyLock::new(|| {
    let mut policy = Policy::default();
    policy.thresholds.jailbreak_block = 1.0;
    Guard::new(policy).unwrap()
});

/// Ordinary text, so that what stands before it is released before the end.
const PROSE: &str = "\nThe meeting about the garden went well, and most of us liked the plan for the new trees. We should \
    talk with the others soon, since the soil there is wet and the paths are narrow. The roses need some care in spring, \
    and nobody has looked at the fence for a long while, which does not surprise me at all, given the rain that we had.\n";

fuzz_target!(|input: (&[u8], u8, &str)| {
    let (cuts, prose, text) = input;
    let text = format!("{text}{}", PROSE.repeat(usize::from(prose % 4)));
    let whole = GUARD.check("fuzz", &text, Mode::Input).unwrap().card;
    let mut stream = StreamGuard::new(GUARD.clone(), "fuzz", Mode::Input).unwrap();
    let (mut got, mut rest) = (String::new(), text.as_str());
    // Single characters where there are no cuts.
    for cut in cuts.iter().copied().chain(std::iter::repeat(1)) {
        if rest.is_empty() {
            break;
        }
        let mut at = usize::from(cut).clamp(1, rest.len());
        while !rest.is_char_boundary(at) {
            at += 1;
        }
        let (piece, more) = rest.split_at(at);
        rest = more;
        got += &stream.push(piece).unwrap().text;
        assert!(stream.held() <= MAX_HELD + 4096);
    }
    assert!(stream.scanned() <= 320 * text.len() as u64);
    let (last, card) = stream.finish().unwrap();
    assert_eq!(got + &last.text, whole.text, "{text:?}");
    assert_eq!(card.redactions, whole.redactions, "{text:?}");
});
