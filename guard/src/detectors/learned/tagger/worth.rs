// SPDX-License-Identifier: AGPL-3.0-or-later
//! Where in a long text personal data is likely: capitals inside sentences, titles, words that announce a name, numbers, and
//! what rules have found.

use super::super::plan::Cells;
use super::evidence::{cued, is_any_title};
use super::lists::{COMMON, among};
use super::words::{Case, Words};

/// More signs in one window say no more: pages in capitals are no better than a letter.
const MOST: f32 = 6.0;
/// Fewer digits are a count.
const MIN_DIGITS: usize = 4;

/// How much each cell is worth reading.
pub(super) fn of(words: &Words<'_>, cells: &Cells<'_>) -> Vec<f32> {
    let mut worth = vec![0.0; cells.len()];
    for i in 0..words.len() {
        worth[cells.at(words.list[i].span.start)] += sign(words, i);
    }
    worth.iter_mut().for_each(|worth: &mut f32| *worth = worth.min(MOST));
    worth
}

/// The same of a sentence by itself.
pub(in super::super) fn signs(text: &str) -> f32 {
    let words = Words::of(text);
    (0..words.len()).map(|i| sign(&words, i)).sum::<f32>().min(MOST)
}

/// What one word says.
fn sign(words: &Words<'_>, i: usize) -> f32 {
    let word = &words.list[i];
    if word.taken {
        // Whose e-mail address stands here?
        return 0.5;
    }
    if word.linked {
        return 0.0;
    }
    let text = words.word(i);
    let ruled = if word.ruled > 0.0 { 1.0 } else { 0.0 };
    if text.bytes().filter(u8::is_ascii_digit).count() >= MIN_DIGITS {
        return ruled + 0.5;
    }
    if is_any_title(words, i) {
        return 2.0;
    }
    let announced = if cued(words, i) { 1.0 } else { 0.0 };
    let capital = match word.case {
        Case::Inside if !among(text, COMMON) => 1.0,
        _ => 0.0,
    };
    ruled + announced + capital
}
