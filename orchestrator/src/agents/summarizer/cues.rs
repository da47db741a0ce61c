// SPDX-License-Identifier: AGPL-3.0-or-later
//! Turns of phrase that tell what a sentence does in a text: names the contribution, reports a
//! finding, gives background, adds a detail. Their weights stand in [`super::weights`].

use std::sync::LazyLock;

use crate::text::words;

/// A turn of phrase.
///
/// Words are lower case and parted by spaces; `a|b` is either, `model~` any word that begins so,
/// `*` up to two words of any kind.
#[derive(Debug)]
pub(super) struct Cue {
    pub(super) words: &'static str,
    /// Whether it announces what a text is about. A text that has such a sentence puts its
    /// background before it.
    pub(super) announces: bool,
}

const fn announces(words: &'static str) -> Cue {
    Cue { words, announces: true }
}

const fn cue(words: &'static str) -> Cue {
    Cue { words, announces: false }
}

#[rustfmt::skip]
pub(super) static CUES: &[Cue] = &[
    announces("we * propos~"), announces("we * present~"), announces("we * introduc~"),
    announces("we * develop~"), announces("we * describ~|formaliz~|formulat~|design~"),
    announces("we * study|investigat~|explor~|examin~|consider~|address~|tackle~"),
    announces("in this|the paper|work|article|study|report|thesis|post|chapter|guide"),
    announces("this paper|work|article|study|report|thesis|post|chapter|guide|document"),
    announces("our main|key|primary contribution~|result~|goal|aim"),
    announces("is|are propos~|present~|introduc~"),
    cue("we * show~|demonstrat~"), cue("we * find|found|observ~|discover~"),
    cue("we * prove|proved|establish~|deriv~"), cue("we * provid~|give|offer~"),
    cue("we * evaluat~|test~|compar~|validat~|verify"), cue("we * appl~|use|employ~|utiliz~|leverag~"),
    cue("we * argue|believe|hope|conjecture|hypothesize"), cue("we * analyz~|analys~|characteriz~"),
    cue("we * achiev~|obtain~|improv~|outperform~|report~"), cue("we * also|further~|additionally|then"),
    cue("our * approach|method|model|framework|algorithm|technique|system|architecture"),
    cue("our * result~|experiment~|analysis|evaluation|finding~|theory"),
    cue("result~|experiment~|evaluation~ * show~|demonstrat~|suggest~|indicat~|confirm~"),
    cue("outperform~|surpass~"), cue("state of the art"), cue("improv~|better|superior"),
    cue("significant~|substantial~"), cue("novel"), cue("new"), cue("simple|effective|efficient"),
    cue("first time|first to"), cue("call~|named|dubbed|coined"), cue("method|approach|framework|model"),
    cue("learn~ * to"), cue("based on"), cue("using|via"), cue("without"), cue("that can"),
    cue("however|but|yet"), cue("although|though|despite|while|whereas"), cue("unfortunately"),
    cue("recent~|in recent years"), cue("existing|previous~|prior|past|traditional~|conventional"),
    cue("typically|usually|often|commonly|generally"), cue("many|most|several|various"),
    cue("has|have been"), cue("is|are a|an|one"), cue("important|crucial|critical|essential|fundamental"),
    cue("challeng~|difficult~|hard"), cue("problem|issue~|limitation~"), cue("known|popular|widely"),
    cue("such as"), cue("for example|instance"), cue("in particular|specifically|namely"),
    cue("moreover|furthermore|additionally|besides"), cue("in addition"), cue("finally|lastly"),
    cue("first|firstly"), cue("second|secondly|third|next"), cue("thus|therefore|hence|consequently"),
    cue("to address|overcome|tackle|solve|this end"), cue("in contrast|unlike|contrary"), cue("instead"),
    cue("because|since|due to"), cue("code|implementation|available|github|http|https"),
    cue("dataset~|benchmark~|corpus"), cue("empirical~|experiment~"), cue("theoretical~|theorem|proof"),
    cue("extensive|thorough|comprehensive"), cue("it is"), cue("they|these|those"), cue("there is|are"),
    cue("can be"), cue("which"), cue("than"), cue("not|no|never"),
];

/// A summary says it outright. Set by hand: the texts that the other weights are from are too
/// short to sum themselves up.
pub(super) static SUMS_UP: &str = "in summary|short|conclusion|brief|sum;to sum up;overall;the bottom line;tl dr;key takeaway~|point~|finding~";

enum Part {
    /// Up to two words.
    Gap,
    /// One of these; `true` for a prefix.
    Word(Vec<(&'static str, bool)>),
}

fn parse(pattern: &'static str) -> Vec<Part> {
    pattern
        .split(' ')
        .map(|part| match part {
            "*" => Part::Gap,
            words => Part::Word(
                words.split('|').map(|w| (w.trim_end_matches('~'), w.ends_with('~'))).collect(),
            ),
        })
        .collect()
}

static PARSED: LazyLock<Vec<Vec<Part>>> =
    LazyLock::new(|| CUES.iter().map(|cue| parse(cue.words)).collect());
static PARSED_SUMS: LazyLock<Vec<Vec<Part>>> =
    LazyLock::new(|| SUMS_UP.split(';').map(parse).collect());

fn begins(words: &[String], parts: &[Part]) -> bool {
    match parts {
        [] => true,
        [Part::Gap, rest @ ..] => {
            (0..=2).any(|skip| words.get(skip..).is_some_and(|words| begins(words, rest)))
        }
        [Part::Word(options), rest @ ..] => {
            words.split_first().is_some_and(|(word, later)| {
                let fits = options.iter().any(|(option, prefix)| {
                    if *prefix { word.starts_with(option) } else { word == option }
                });
                fits && begins(later, rest)
            })
        }
    }
}

/// What a sentence has of the cues.
pub(super) struct Found {
    /// Which of [`CUES`], in their order.
    pub(super) cues: Vec<bool>,
    /// Whether it announces what the text is about.
    pub(super) announces: bool,
    /// Whether it says that it sums up.
    pub(super) sums_up: bool,
}

/// Looks for the cues in a sentence, whose length bounds the work.
pub(super) fn find(sentence: &str) -> Found {
    let words: Vec<String> = words(sentence).map(|w| w.text.to_lowercase()).collect();
    let has = |parts: &Vec<Part>| (0..words.len()).any(|at| begins(&words[at..], parts));
    let cues: Vec<bool> = PARSED.iter().map(has).collect();
    let announces = cues.iter().zip(CUES).any(|(found, cue)| *found && cue.announces);
    Found { announces, sums_up: PARSED_SUMS.iter().any(has), cues }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cues_match_words_prefixes_and_gaps() {
        let found = |sentence: &str| -> Vec<&str> {
            let found = find(sentence).cues;
            found.iter().zip(CUES).filter(|(f, _)| **f).map(|(_, cue)| cue.words).collect()
        };
        assert!(found("Here we then newly proposed it.").contains(&"we * propos~"));
        assert!(!found("Here we then all of us proposed it.").contains(&"we * propos~"));
        assert!(found("A state-of-the-art score.").contains(&"state of the art"));
        assert!(!found("The state of art.").contains(&"state of the art"));
        assert!(found("").is_empty());
        assert!(find("In this paper it rains.").announces && !find("It rains.").announces);
        assert!(find("In short, it rains.").sums_up && !find("A short rain.").sums_up);
    }
}
