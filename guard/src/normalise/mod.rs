// SPDX-License-Identifier: AGPL-3.0-or-later
//! The normaliser: other readings of a text, each with an exact map back to the bytes that were given.
//!
//! Who wants to get past a guard writes `ann@example.org` with a Cyrillic letter, in full width, with invisible
//! characters inside, in base64, as `ann [at] example dot org`. A [`View`] is the text with one such disguise taken off,
//! on top of those taken off before; detectors run on each view as on the text itself, and [`View::span`] says where in
//! the original their findings stand, invisible characters inside them included.
//!
//! | step | [`Via`] | undoes |
//! |---|---|---|
//! | `unicode` | `Unicode` | full width, circled and mathematical letters, accents, invisible characters, digits of all scripts, lookalikes of other scripts (UTS #39) |
//! | `controls` | `Deletions`, `Overrides` | backspaces, right-to-left overrides |
//! | `hidden` | `Hidden` | tag characters, bytes in variation selectors, bits in zero-width characters |
//! | `flipped` | `Flipped` | upside-down letters |
//! | `decode` | `Decoded` | `%40`, `&#64;`, `\x40`, base64, base64url, hexadecimal, nested up to three times |
//! | `joined` | `Joined` | "i g n o r e", "i.g.n.o.r.e" |
//! | `spelled` | `Spelled` | `ann [at] example dot org`, digits in words |
//! | `leet` | `Leet` | "1gn0r3", where a known word comes out |
//! | `turned` | `Rot13`, `Reversed` | rot13, text or words backwards, where known words come out |
//!
//! A text without any of this, which one scan over its bytes finds out, has no view. Otherwise the number of views is
//! bounded, each is at most four times as long as the text, and each step is linear.

mod chars;
mod controls;
mod decode;
mod escapes;
mod flipped;
mod hidden;
mod joined;
mod leet;
mod model;
mod spelled;
mod triggers;
mod turned;
mod unicode;
mod view;
mod words;

use std::fmt;

pub(crate) use chars::is_invisible;
pub(crate) use flipped::open_turned;
pub(crate) use model::folded_view;
pub use model::model_view;
pub(crate) use turned::open_passage;
pub use view::View;
pub(crate) use words::{DIGIT, DOT, commonness, readings};

use triggers::Triggers;
use view::Edit;

/// The step by which something came to light.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Via {
    /// Invisible characters, accents, full width, lookalikes.
    Unicode,
    /// Backspaces and deletions carried out.
    Deletions,
    /// Right-to-left overrides carried out.
    Overrides,
    /// Text in tag characters, variation selectors or zero-width bits.
    Hidden,
    /// Upside-down letters.
    Flipped,
    /// Percent, HTML and backslash escapes, base64, hexadecimal.
    Decoded,
    /// Spaced-out words joined.
    Joined,
    /// "at", "dot" and digits in words.
    Spelled,
    /// Digits for letters.
    Leet,
    /// Rot13.
    Rot13,
    /// Backwards.
    Reversed,
    /// What a model reads: see [`model_view`].
    Model,
}

impl Via {
    /// A stable short name, e.g. `decoded`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unicode => "unicode",
            Self::Deletions => "deletions",
            Self::Overrides => "overrides",
            Self::Hidden => "hidden",
            Self::Flipped => "flipped",
            Self::Decoded => "decoded",
            Self::Joined => "joined",
            Self::Spelled => "spelled",
            Self::Leet => "leet",
            Self::Rot13 => "rot13",
            Self::Reversed => "reversed",
            Self::Model => "model",
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How deep encodings may be nested, and folded in between.
const DEPTH: usize = 3;

/// A step that may change a text.
type Step = fn(&str) -> Option<Edit>;

/// Steps that start a reading of their own: what they undo is lost once invisible characters and accents are gone.
const STARTS: [(Step, Via); 5] = [
    (controls::apply_deletions, Via::Deletions),
    (controls::apply_overrides, Via::Overrides),
    (hidden::reveal, Via::Hidden),
    (flipped::turn_back, Via::Flipped),
    (flipped::turn_back_within, Via::Flipped),
];

/// All views of a text, in the order in which they are made; none for a text that hides nothing.
///
/// Texts of more than a gigabyte have no views.
#[must_use]
pub fn views(text: &str) -> Vec<View> {
    let mut views = Vec::new();
    let _ = for_each(text, |view| -> Result<(), std::convert::Infallible> {
        views.push(view.clone());
        Ok(())
    });
    views
}

/// Shows each view once, holding few of them at a time.
pub(crate) fn for_each<E>(
    text: &str,
    mut show: impl FnMut(&View) -> Result<(), E>,
) -> Result<(), E> {
    let seen = Triggers::scan(text);
    if !seen.any() || text.len() > view::MAX_TEXT {
        return Ok(());
    }
    if seen.unicode || seen.control {
        for (step, via) in STARTS {
            if let Some(edit) = step(text) {
                let view = View::over(None, edit, via);
                show(&view)?;
                let seen = Triggers::scan(view.text());
                chain(text, Some(view), seen, &mut show)?;
            }
        }
    }
    chain(text, None, seen, &mut show)
}

/// The readings on top of a view or of the text itself, of which `seen` was seen, each on top of the one before.
fn chain<E>(
    text: &str,
    start: Option<View>,
    seen: Triggers,
    show: &mut impl FnMut(&View) -> Result<(), E>,
) -> Result<(), E> {
    let mut top = Top { text, seen, view: start };
    for _ in 0..=DEPTH {
        top.apply(top.seen.unicode || top.seen.control, unicode::fold, Via::Unicode, show)?;
        if !top.apply(top.seen.escape || top.seen.encoded, decode::decode, Via::Decoded, show)? {
            break;
        }
    }
    top.apply(top.seen.spaced, joined::join, Via::Joined, show)?;
    top.apply(top.seen.spelled, spelled::write_out, Via::Spelled, show)?;
    // These are other readings of one and the same text.
    let mut turn = |seen: bool, step: Step, via| -> Result<bool, E> {
        let edit = seen.then(|| step(top.text())).flatten();
        let turned = edit.is_some();
        if let Some(edit) = edit {
            show(&View::over(top.view.as_ref(), edit, via))?;
        }
        Ok(turned)
    };
    turn(top.seen.leet, leet::read, Via::Leet)?;
    turn(top.seen.rot13, turned::rotate, Via::Rot13)?;
    // Where no passage is backwards, none is word by word.
    let backwards = turn(top.seen.reversed, turned::reverse, Via::Reversed)?;
    turn(backwards, turned::reverse_words, Via::Reversed)?;
    Ok(())
}

/// The view on top, or the text where there is none.
struct Top<'t> {
    text: &'t str,
    view: Option<View>,
    seen: Triggers,
}

impl Top<'_> {
    fn text(&self) -> &str {
        self.view.as_ref().map_or(self.text, View::text)
    }

    /// Puts a step on top and shows it; false if it changed nothing.
    fn apply<E>(
        &mut self,
        seen: bool,
        step: Step,
        via: Via,
        show: &mut impl FnMut(&View) -> Result<(), E>,
    ) -> Result<bool, E> {
        let Some(edit) = seen.then(|| step(self.text())).flatten() else {
            return Ok(false);
        };
        let view = View::over(self.view.as_ref(), edit, via);
        show(&view)?;
        self.seen = Triggers::scan(view.text());
        self.view = Some(view);
        Ok(true)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Shorthand for the steps' own tables.
    use super::{Step, Via, View};

    pub(crate) fn view_of(step: Step, text: &str) -> Option<View> {
        step(text).map(|edit| View::over(None, edit, Via::Unicode))
    }

    /// Each text must become just this.
    pub(crate) fn assert_views(step: Step, table: &[(&str, &str)]) {
        for (text, want) in table {
            let view = view_of(step, text);
            assert_eq!(view.as_ref().map(View::text), Some(*want), "{text:?}");
        }
    }

    /// None of these texts may change.
    pub(crate) fn assert_same(step: Step, texts: &[&str]) {
        for text in texts {
            let view = view_of(step, text);
            assert_eq!(view.as_ref().map(View::text), None, "{text:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_text_has_no_view() {
        assert!(views("Nothing to see here, 100 of 200.\n").is_empty());
        assert!(views("").is_empty());
    }

    #[test]
    fn disguises_on_top_of_each_other_come_off() {
        for (text, want) in [
            ("ann%2540example.org", "ann@example.org"),
            ("ａｎｎ％４０example.org", "ann@example.org"),
            ("YW5uICU0MCBleGFtcGxlIC4gb3Jn", "ann @ example . org"),
            ("1 g n 0 r 3 @ l l", "1gn0r3@ll"),
        ] {
            let all = views(text);
            assert!(all.iter().any(|v| v.text() == want), "{text}: {all:?}");
        }
    }

    #[test]
    fn names_are_unique() {
        let all = [
            Via::Unicode,
            Via::Deletions,
            Via::Overrides,
            Via::Hidden,
            Via::Flipped,
            Via::Decoded,
            Via::Joined,
            Via::Spelled,
            Via::Leet,
            Via::Rot13,
            Via::Reversed,
            Via::Model,
        ];
        let mut names: Vec<_> = all.iter().map(|v| v.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
    }
}
