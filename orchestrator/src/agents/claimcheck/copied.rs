// SPDX-License-Identifier: AGPL-3.0-or-later
//! Whether written sentences say what their sources say: a summary must not know more.
//!
//! Three looks, the first that finds something says why. Numbers and names that no source has
//! ([`facts`]). Then, with a cross-encoder, whether the sources bear the sentence out, part by
//! part, as they would a claim; without one, whether a guard finds another fact in the sentences
//! next to the closest, and whether most of its words are of the sources at all.

mod facts;

use std::ops::Range;

use super::decompose;
use super::guards::{self, Sides, quote};
use super::judge::{self, Judge, Statement};
use super::retrieve;
use super::sources::Source;
use super::verdict::{self, Outcome, Verdict};
use crate::agents::{AgentContext, AgentError};
use crate::text::{polarity, words};
use facts::Facts;

/// A sentence that the sources do not bear out.
#[derive(Debug)]
pub(in crate::agents) struct Flag {
    /// Its place.
    pub(in crate::agents) at: usize,
    pub(in crate::agents) why: String,
    /// Whether it has a number or name that nothing has.
    pub(in crate::agents) unknown: bool,
}

/// What checking came to.
pub(in crate::agents) struct Copied {
    /// At most one a sentence, in order.
    pub(in crate::agents) flagged: Vec<Flag>,
    /// Who looked, for the result.
    pub(in crate::agents) by: &'static str,
    /// For each sentence the source and the sentence there that says most of its words.
    pub(in crate::agents) closest: Vec<Option<(usize, Range<usize>)>>,
}

/// Share of a sentence's content words that the closest sentence of the sources must have to be
/// named as where it is from.
const FROM: f64 = 0.3;
/// The same for the guards to compare their facts.
const SAME_THING: f64 = 0.5;
/// Content words from which on their share in the sources is looked at, and the least share.
/// Another word for the same thing is no fault: only what hardly shares a word is.
const MIN_WORDS: usize = 4;
const LEAST_KNOWN: f64 = 0.4;
/// Windows read beside a sentence, and beside each part of it.
const WINDOWS: [usize; 2] = [5, 3];

/// Checks each of `written` against `sources`. Words, names and numbers of `also` are known too, such
/// as who speaks; nothing is borne out by it.
///
/// # Errors
/// Only `Cancelled`: where the model fails, rules look.
pub(in crate::agents) fn copied(
    written: &[String],
    sources: &[&str],
    also: &[&str],
    ctx: &AgentContext<'_>,
) -> Result<Copied, AgentError> {
    let facts = Facts::of(sources, also, ctx)?;
    let list: Vec<Source<'_>> =
        sources.iter().map(|text| Source { label: String::new(), text }).collect();
    let mut judge = ctx.reasoner.entailer().map(|_| judge::choose(ctx.reasoner));
    let mut checked =
        Copied { flagged: Vec::new(), by: "rules", closest: Vec::with_capacity(written.len()) };
    for (at, sentence) in written.iter().enumerate() {
        ctx.cancel.check()?;
        let statement = Statement::new(sentence.as_str());
        let closest = facts.closest(&statement);
        let mut why = facts.unknown(sentence);
        let unknown = why.is_some();
        if let (None, Some(reader)) = (&why, &judge) {
            match borne_out(&statement, &list, reader.as_ref(), ctx) {
                Ok(found) => why = found,
                Err(error) if error.is_cancelled() => return Err(error),
                Err(_) => judge = None,
            }
        }
        if why.is_none() && judge.is_none() {
            why = by_rules(&statement, closest.as_ref(), &facts, sources);
        }
        checked.flagged.extend(why.map(|why| Flag { at, why, unknown }));
        let from = closest.filter(|found| found.share >= FROM);
        checked.closest.push(from.map(|found| (found.source, found.span)));
    }
    if judge.is_some() {
        checked.by = "cross-encoder, rules";
    }
    Ok(checked)
}

/// Why the sources do not bear out a sentence; none where they do.
fn borne_out(
    whole: &Statement,
    sources: &[Source<'_>],
    judge: &dyn Judge,
    ctx: &AgentContext<'_>,
) -> Result<Option<String>, AgentError> {
    let mut statements = vec![Statement::new(whole.text.as_str())];
    let parts = decompose::decompose(&whole.text);
    statements.extend(parts.into_iter().map(|part| Statement::new(part.text)));
    let (candidates, _) = retrieve::candidates(sources, whole, ctx)?;
    let found =
        retrieve::best(&statements, &candidates, sources, judge.max_sentences(), WINDOWS, ctx)?;
    let mut checked = Vec::with_capacity(statements.len());
    for (statement, found) in statements.iter().zip(&found) {
        let evidence = verdict::weigh(statement, found, sources, judge, ctx)?;
        let verdict = Verdict::of(&evidence, judge.calibration());
        checked.push((evidence, verdict));
    }
    let verdicts: Vec<Verdict> = checked.iter().map(|(_, verdict)| *verdict).collect();
    let resting = verdict::combine(&verdicts);
    let (evidence, _) = &checked[resting.on];
    Ok(match resting.verdict.outcome {
        Outcome::Supported(_) => None,
        Outcome::Refuted(at) => {
            let says = quote(evidence[at].found.window.text(sources));
            Some(format!("the source says otherwise: {says}"))
        }
        Outcome::Mixed { .. } => Some("the source says it and says otherwise".to_owned()),
        Outcome::Undecided => Some("the source does not say it".to_owned()),
    })
}

/// The same without a model.
fn by_rules(
    statement: &Statement,
    closest: Option<&facts::Closest>,
    facts: &Facts,
    sources: &[&str],
) -> Option<String> {
    let (all, known) = facts.known(statement);
    if all >= MIN_WORDS && (known as f64) < LEAST_KNOWN * all as f64 {
        return Some(format!("only {known} of its {all} content words are in the source"));
    }
    let closest = closest.filter(|found| found.share >= SAME_THING)?;
    let window = &sources[closest.source][closest.window.clone()];
    let sides = Sides::new(statement, window, None, "");
    // Words that changed their place may leave a negation's reach: both deny something then.
    let denials = |text: &str| words(text).filter(|w| polarity::is_negation(w.text)).count();
    let alike = denials(&statement.text) > 0 && denials(&statement.text) == denials(sides.sentence);
    let found = guards::conflict(&sides).filter(|(guard, _)| *guard != "negation" || !alike);
    let (guard, why) = found?;
    Some(format!("{guard}: {why}"))
}

#[cfg(test)]
mod tests {
    use bho_engine::{CancelToken, Embedding, EngineError, ModelInfo};

    use super::*;
    use crate::config::MissingInputs;
    use crate::reasoner::Reasoner;

    /// No model: rules alone.
    struct Modelless;

    impl Reasoner for Modelless {
        fn models(&self) -> Vec<ModelInfo> {
            Vec::new()
        }

        fn embed(&self, _: &[&str], _: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
            Err(EngineError::Input("none".into()))
        }
    }

    fn checked(written: &[&str], sources: &[&str]) -> Copied {
        let ctx = AgentContext {
            node: "node",
            deps: &[],
            missing: &[],
            missing_inputs: MissingInputs::SkipAndLabel,
            reasoner: &Modelless,
            cancel: &CancelToken::new(),
            seed: 0,
            attempt: 0,
        };
        let written: Vec<String> = written.iter().map(|s| (*s).to_owned()).collect();
        copied(&written, sources, &["Kim"], &ctx).expect("checked")
    }

    const SOURCE: &str = "The Harbour Bridge opened in 1932 and cost 4.2 million euros. It carries \
        eight lanes of traffic and two railway tracks.\n\nThe World Health Organization \
        moved its office to Geneva in May 1948. A five-minute walk of 400 m leads to it. The \
        drug is not effective for children.";

    #[test]
    fn facts_that_the_source_lacks_are_flagged() {
        for (sentence, says) in [
            ("The Harbour Bridge opened in 1935.", "1935"),
            ("The bridge carries six lanes of traffic.", "six"),
            ("The bridge cost 9 million euros.", "9 million"),
            ("The bridge carries 12% of all traffic.", "12"),
            ("The walk is 700 m long.", "700"),
            ("The Sydney bridge carries traffic.", "Sydney"),
            ("Its office left the UN.", "UN"),
            ("The drug is effective for children.", "negation"),
            ("Cats and dogs usually prefer warm milk.", "content words"),
        ] {
            let found = checked(&[sentence], &[SOURCE]);
            assert_eq!(found.flagged.len(), 1, "{sentence}");
            let Flag { at, why, .. } = &found.flagged[0];
            assert!(*at == 0 && why.contains(says), "{sentence}: {why}");
            assert_eq!(found.by, "rules");
        }
    }

    #[test]
    fn facts_that_the_source_has_in_other_words_are_not() {
        for sentence in [
            "The bridge, opened in 1932, carries 8 lanes and cost about \u{20ac}4.2m.",
            "Two tracks and eight lanes cross the Harbour Bridge.",
            "The WHO moved its office in May 1948.",
            "The WHO's office is 0.4 km away, a walk of 5 minutes.",
            "For children the drug is not effective.",
            "The drug, says Kim, is not effective.",
            "One of the bridges is the first to carry traffic.",
        ] {
            let found = checked(&[sentence], &[SOURCE]);
            assert!(found.flagged.is_empty(), "{sentence}: {:?}", found.flagged);
        }
    }

    #[test]
    fn each_sentence_is_led_back_to_the_closest() {
        let (first, second) =
            ("Rain fell on the old town.", "The mill burnt down. Nobody was hurt.");
        let found =
            checked(&["The mill burnt.", "Zebras.", "In the town rain fell."], &[first, second]);
        assert_eq!(found.closest, [Some((1, 0..20)), None, Some((0, 0..first.len()))]);
    }
}
