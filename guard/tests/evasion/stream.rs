// SPDX-License-Identifier: AGPL-3.0-or-later
//! Every fixture, plain and disguised, through the stream guard, cut everywhere: what is released is what the whole-text
//! check gives, and no byte of what that redacts.

use bho_guard::{Category, Guard, Mode, ModerationCard, Policy, StreamGuard, Verdict};

use super::disguises::{TECHNIQUES, Where};
use super::{ATTACKS, pii};

/// Ordinary text before and after, longer than what is held back, so that there is something to release on either side.
const BEFORE: &str = "The meeting about the garden went well, and most of us liked the plan for the new trees near the \
    old wall. We should talk with the others soon, since the soil there is wet and the paths are narrow. ";
const AFTER: &str = " Let me know what you think about that when you find the time for it. The roses need some care in \
    spring, and nobody has looked at the fence for a long while. My brother says that the wood under the bench is soft by \
    now, which does not surprise me at all, given the rain that we had here. We could ask the neighbours whether they want \
    to help with the work, since they did so before and seemed to enjoy it. In any case there will be tea and cake for all \
    those who come, and a dry place to sit. Bring boots and a warm coat, and perhaps some gloves for the thorns.";

pub(crate) struct Streamed {
    pub(crate) text: String,
    pub(crate) card: ModerationCard,
}

pub(crate) fn stream<'t>(guard: &Guard, pieces: impl IntoIterator<Item = &'t str>) -> Streamed {
    let mut stream = StreamGuard::new(guard.clone(), "n", Mode::Input).unwrap();
    let mut text = String::new();
    for piece in pieces {
        text += &stream.push(piece).unwrap().text;
    }
    let (rest, card) = stream.finish().unwrap();
    Streamed { text: text + &rest.text, card }
}

/// What the whole-text check makes of a text, and its redacted form even if it is blocked.
struct Whole {
    card: ModerationCard,
    redacted: String,
    /// Where that begins for which it is blocked.
    blocked_at: usize,
}

struct Case {
    guard: Guard,
    lenient: Guard,
}

impl Case {
    fn new() -> Self {
        let mut policy = Policy::default();
        policy.thresholds.jailbreak_block = 1.0;
        Self { guard: Guard::new(Policy::default()).unwrap(), lenient: Guard::new(policy).unwrap() }
    }

    fn whole(&self, text: &str) -> Whole {
        let Verdict { card, findings } = self.guard.check("n", text, Mode::Input).unwrap();
        let redacted = self.lenient.check("n", text, Mode::Input).unwrap().card.text;
        let blocking =
            findings.iter().filter(|f| f.category == Category::Jailbreak && f.score >= 0.6);
        let blocked_at = blocking.map(|f| f.span.start).min().unwrap_or(text.len());
        Whole { card, redacted, blocked_at }
    }

    /// What is wrong with the stream of these pieces, if anything.
    fn fault<'t>(
        &self,
        whole: &Whole,
        pieces: impl IntoIterator<Item = &'t str>,
    ) -> Option<String> {
        let got = stream(&self.guard, pieces);
        if !whole.card.allowed {
            // Nothing before it is redacted in these fixtures.
            let kept = whole.blocked_at;
            return if got.card.allowed {
                Some(format!("not blocked: {:?}", got.text))
            } else if !whole.redacted.starts_with(&got.text) || got.text.len() > kept {
                Some(format!("shown before the block: {:?}", got.text))
            } else {
                None
            };
        }
        if got.text != whole.redacted || got.card.redactions != whole.card.redactions {
            return Some(format!("{:?}\n instead of {:?}", got.text, whole.redacted));
        }
        (got.card.labels != whole.card.labels)
            .then(|| format!("{:?} instead of {:?}", got.card.labels, whole.card.labels))
    }
}

/// The fixtures under one technique, in ordinary text, and where in it they stand.
fn texts(place: &Where, disguise: fn(&str) -> String) -> Vec<(String, std::ops::Range<usize>)> {
    let personal = pii().into_iter().map(|(_, before, secret, after)| match place {
        Where::Text => disguise(&format!("{before}{secret}{after}")),
        Where::Secret => format!("{before}{}{after}", disguise(secret)),
    });
    let all = personal.chain(ATTACKS.iter().map(|attack| disguise(attack)));
    all.map(|text| {
        let range = BEFORE.len()..BEFORE.len() + text.len();
        (format!("{BEFORE}{text}{AFTER}"), range)
    })
    .collect()
}

fn cuts(text: &str, range: std::ops::Range<usize>) -> impl Iterator<Item = (&str, &str)> {
    range.filter(|at| text.is_char_boundary(*at)).map(|at| text.split_at(at))
}

fn chars(text: &str) -> impl Iterator<Item = &str> {
    text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()])
}

#[test]
fn plain_fixtures_are_streamed_as_they_are_checked_wherever_they_are_cut() {
    let case = Case::new();
    let mut faults = Vec::new();
    for (text, _) in texts(&Where::Text, str::to_owned) {
        let whole = case.whole(&text);
        let cut = cuts(&text, 0..text.len()).find_map(|(a, b)| case.fault(&whole, [a, b]));
        let fault = cut.or_else(|| case.fault(&whole, chars(&text)));
        faults.extend(fault);
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn disguised_fixtures_are_streamed_as_they_are_checked() {
    let case = Case::new();
    let mut faults = Vec::new();
    for (name, place, disguise) in TECHNIQUES {
        for (text, range) in texts(place, *disguise) {
            let whole = case.whole(&text);
            // A piece ends every few characters, at another place in each text.
            let step = 5 + text.len() % 7;
            let cut =
                cuts(&text, range).step_by(step).find_map(|(a, b)| case.fault(&whole, [a, b]));
            let fault = cut.or_else(|| case.fault(&whole, chars(&text)));
            faults.extend(fault.map(|fault| format!("{name}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}
