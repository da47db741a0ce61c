// SPDX-License-Identifier: AGPL-3.0-or-later
//! What is too long to be held back: it is withheld as a whole, up to where it ends.

use super::{MAX_HELD, MAX_REDACTIONS, Released, StreamGuard, WITHHELD, edge};
use crate::card::{Action, Redaction};
use crate::detectors::private_key::{self, Block};
use crate::text::floor_boundary;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Withholding {
    /// To the end of its stretch or row.
    Run,
    /// To the white space or quote behind a value, which commas and brackets do not end.
    Value,
    /// To the last line of a key, of which so many bytes have been seen.
    Block(Block, usize),
}

impl StreamGuard {
    /// Begins to withhold, with all that is held back; `value`: what was found in it goes on up to its end.
    pub(super) fn withhold_rest(&mut self, value: bool, out: &mut Released) {
        debug_assert!(self.held() > MAX_HELD, "there was room");
        self.withholding = Some(match private_key::open_block(&self.text[self.done..]) {
            Some((_, block)) => Withholding::Block(block, self.held()),
            None if value => Withholding::Value,
            None => Withholding::Run,
        });
        out.text.push_str(&WITHHELD.placeholder());
        self.withhold(self.text.len(), true, out);
    }

    /// Withholds what goes on; true when it is over.
    pub(super) fn withhold_on(&mut self, last: bool, out: &mut Released) -> bool {
        let rest = &self.text[self.done..];
        let over = match self.withholding {
            Some(Withholding::Block(block, seen)) => {
                let over = private_key::block_over(rest, block);
                if over.is_none() && seen + rest.len() > private_key::MAX_BLOCK {
                    // No key is so long; what has no end mark goes as far as its stretches do.
                    self.withholding = Some(Withholding::Run);
                    return self.withhold_on(last, out);
                }
                over
            }
            Some(Withholding::Value) => {
                rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`'))
            }
            _ => edge::run_over(&self.text, self.done).map(|at| at - self.done),
        };
        let keep = match self.withholding {
            // The last line may be cut.
            Some(Withholding::Block(..)) if !last => {
                floor_boundary(rest, rest.len().saturating_sub(128))
            }
            // What may be the beginning of the next word of a row.
            Some(Withholding::Run) if !last => {
                rest.rfind(char::is_whitespace).unwrap_or(rest.len())
            }
            _ => rest.len(),
        };
        self.withhold(self.done + over.unwrap_or(keep), false, out);
        if let Some(Withholding::Block(_, seen)) = &mut self.withholding {
            *seen += over.unwrap_or(keep);
        }
        if over.is_some() {
            self.withholding = None;
        }
        over.is_some()
    }

    /// Drops what stands before `to` and lists it, as one with what was withheld right before it unless it is the `first`.
    fn withhold(&mut self, to: usize, first: bool, out: &mut Released) {
        if to > self.done {
            let span = [self.base + self.done, self.base + to];
            let redaction = Redaction { span, kind: WITHHELD.label() };
            out.redactions.push(redaction.clone());
            let listed = &mut self.card.redactions;
            let room = listed.len() < MAX_REDACTIONS;
            match listed.last_mut() {
                Some(same) if !first && same.kind == redaction.kind => same.span[1] = span[1],
                _ if room => listed.push(redaction),
                _ => {}
            }
            self.done = to;
            // Models go on behind it.
            self.before = self.before.max(self.done.min(self.judged));
            self.judged = self.judged.max(self.done);
        }
        if !self.card.actions.contains(&Action::Redact) {
            self.card.actions.insert(0, Action::Redact);
        }
    }
}
