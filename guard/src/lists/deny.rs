// SPDX-License-Identifier: AGPL-3.0-or-later
//! The deny list at work: a detector, so that disguises come off denied words as off all else.

use aho_corasick::AhoCorasick;
use regex::Regex;

use super::{DENIED, DenyAction, Wanted, compile, read};
use crate::detector::{DetectContext, Detector, Hold, Signal};
use crate::error::GuardError;
use crate::finding::{Category, Finding, PiiType};
use crate::normalise::{View, folded_view};
use crate::policy::Policy;
use crate::text::{char_after, char_before};

/// Finds denied words.
///
/// Texts are looked for in any case and between the edges of words (where the script has spaces), all of them in one pass
/// over the text; expressions one by one.
pub(crate) struct DenyList {
    /// The texts, folded, and what each is found as.
    texts: AhoCorasick,
    found_as: Vec<Category>,
    regexes: Vec<(Regex, Category)>,
    types: Vec<PiiType>,
    /// Words of the longest text.
    words: usize,
}

impl DenyList {
    /// Its name as a detector.
    pub(crate) const NAME: &'static str = "deny_list";

    /// The list of a policy that is valid; none if it denies nothing.
    ///
    /// # Errors
    /// [`GuardError::Detector`] when all texts together are too many for one automaton.
    pub(crate) fn new(policy: &Policy) -> Result<Option<Self>, GuardError> {
        let (mut texts, mut found_as, mut regexes) = (Vec::new(), Vec::new(), Vec::new());
        let mut types = Vec::new();
        for entry in &policy.deny {
            let category = match &entry.action {
                DenyAction::Block => Category::Denied,
                DenyAction::Redact(kind) => {
                    let kind = PiiType::named(kind).unwrap_or(DENIED);
                    types.push(kind);
                    Category::Pii(kind)
                }
            };
            for text in &entry.texts {
                match read(text) {
                    Wanted::Text(text) => {
                        texts.push(text);
                        found_as.push(category);
                    }
                    Wanted::Regex(regex) => {
                        regexes.extend(compile(regex, false).ok().map(|regex| (regex, category)));
                    }
                }
            }
        }
        if texts.is_empty() && regexes.is_empty() {
            return Ok(None);
        }
        let words = texts.iter().map(|text| text.split_whitespace().count()).max().unwrap_or(0);
        let texts = AhoCorasick::new(texts).map_err(|error| GuardError::Detector {
            detector: Self::NAME,
            message: error.to_string(),
        })?;
        Ok(Some(Self { texts, found_as, regexes, types, words }))
    }

    /// The types it redacts words as.
    pub(crate) fn types(&self) -> &[PiiType] {
        &self.types
    }
}

impl Detector for DenyList {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn signal(&self) -> Signal {
        Signal::Pii
    }

    fn hold(&self) -> Hold {
        if self.regexes.is_empty() {
            Hold { words: self.words, ..Hold::STRETCH }
        } else {
            Hold { words: self.words.max(Hold::default().words), ..Hold::default() }
        }
    }

    fn detect(
        &self,
        text: &str,
        ctx: &DetectContext<'_>,
        out: &mut Vec<Finding>,
    ) -> Result<(), GuardError> {
        let mut add = |category, span, rule| {
            let detector = self.name();
            out.push(Finding { category, span, score: 1.0, detector, rule, via: None });
        };
        if !self.found_as.is_empty() {
            let view = folded_view(text);
            let plain = Squeezed::of(view.as_ref().map_or(text, View::text));
            for found in self.texts.find_overlapping_iter(&plain.text) {
                if is_whole(&plain.text, found.start(), found.end()) {
                    let span = plain.place(found.start())..plain.place(found.end());
                    let span = view.as_ref().map_or(span.clone(), |view| view.span(span));
                    add(self.found_as[found.pattern().as_usize()], span, "text");
                }
            }
        }
        for (regex, category) in &self.regexes {
            ctx.check_cancelled()?;
            let found = regex.find_iter(text).filter(|found| !found.is_empty());
            found.for_each(|found| add(*category, found.range(), "regex"));
        }
        Ok(())
    }
}

/// A text in lower case (of ASCII) with each run of white space as one space, as the texts of a list have it: nobody evades
/// a list with a second space, or by where his mailer wraps lines.
struct Squeezed {
    text: String,
    /// Places behind runs that are shorter here, and the bytes that are left out up to there.
    left_out: Vec<(usize, usize)>,
}

impl Squeezed {
    fn of(text: &str) -> Self {
        let mut out = Self { text: String::with_capacity(text.len()), left_out: Vec::new() };
        let mut rest = text.char_indices().peekable();
        let mut sum = 0;
        while let Some((at, c)) = rest.next() {
            if !c.is_whitespace() {
                out.text.push(c.to_ascii_lowercase());
                continue;
            }
            let mut end = at + c.len_utf8();
            while let Some((more, c)) = rest.next_if(|(_, c)| c.is_whitespace()) {
                end = more + c.len_utf8();
            }
            out.text.push(' ');
            if end - at > 1 {
                sum += end - at - 1;
                out.left_out.push((out.text.len(), sum));
            }
        }
        out
    }

    /// The place in the text that it was made of.
    fn place(&self, at: usize) -> usize {
        let behind = self.left_out.partition_point(|(place, _)| *place <= at);
        at + behind.checked_sub(1).map_or(0, |last| self.left_out[last].1)
    }
}

/// Whether a find is no part of a longer word.
fn is_whole(text: &str, start: usize, end: usize) -> bool {
    let joins = |a: Option<char>, b: Option<char>| a.is_some_and(in_word) && b.is_some_and(in_word);
    !joins(char_before(text, start), char_after(text, start))
        && !joins(char_before(text, end), char_after(text, end))
}

/// Whether a character is part of a word in a script that puts spaces between words: Thai, Lao, Khmer, Chinese and
/// Japanese do not.
fn in_word(c: char) -> bool {
    c.is_alphanumeric()
        && !matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
            | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::super::DenyEntry;
    use super::*;
    use crate::Mode;

    fn found(texts: &[&str], text: &str) -> Vec<String> {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        let entry = DenyEntry { action: DenyAction::default(), texts };
        let policy = Policy { deny: vec![entry], ..Policy::default() };
        let list = DenyList::new(&policy).unwrap().unwrap();
        let mut out = Vec::new();
        list.detect(text, &DetectContext::new(text, Mode::Input), &mut out).unwrap();
        out.iter().map(|finding| text[finding.span.clone()].to_owned()).collect()
    }

    #[test]
    fn words_are_found_whole_in_any_case_and_place() {
        for (texts, text, want) in [
            (
                &["Falcon"][..],
                "FALCON and falcon's, Falconry, GyrFalcon",
                &["FALCON", "falcon"][..],
            ),
            (&["project falcon"], "Project\nFalcon", &["Project\nFalcon"]),
            (
                &["project  falcon"],
                "Project  Falcon, Project\r\nFalcon and \u{2003}Project\u{a0}\u{a0} \t FALCON.",
                &["Project  Falcon", "Project\r\nFalcon", "Project\u{a0}\u{a0} \t FALCON"],
            ),
            (&["foo", "foo bar"], "foo bart", &["foo"]),
            (
                &["ÄRGER"],
                "größter Ärger, A\u{308}r\u{200b}ger!",
                &["Ärger", "A\u{308}r\u{200b}ger"],
            ),
            (&["Falcon"], "ＦＡＬＣＯＮ", &["ＦＡＬＣＯＮ"]),
            (&["c++"], "C++, c+ and C++20", &["C++", "C++"]),
            (&["张伟"], "我叫张伟。", &["张伟"]),
            (&["/proj-[0-9]+/"], "PROJ-77 and proj-", &["PROJ-77"]),
            (&["Kelvin"], "20 \u{212a}elvin", &["\u{212a}elvin"]),
        ] {
            assert_eq!(found(texts, text), want, "{text}");
        }
    }

    #[test]
    fn a_policy_that_denies_nothing_has_no_list() {
        assert!(DenyList::new(&Policy::default()).unwrap().is_none());
    }
}
