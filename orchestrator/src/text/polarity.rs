// SPDX-License-Identifier: AGPL-3.0-or-later
//! Content words with their polarity, and words that exclude each other.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::numbers::is_number_word;
use super::words::{Word, is_stop_word, stem, words};

/// Content words after a negation cue that it negates, at most.
///
/// Negation in English reaches to the end of its clause; five content words cover nearly all
/// clauses and keep a cue from reaching across a badly punctuated line.
const SCOPE: usize = 5;

/// Weight of a verb that says little, against 1 for an ordinary content word.
const LIGHT: f64 = 0.3;
/// Weight of a name: a claim about another name is another claim.
const NAME: f64 = 1.5;

/// A content word of a sentence.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// Folded form; see [`stem`].
    pub stem: String,
    /// How much it says: 0.3 for light verbs, 1.5 for names, else 1.
    pub weight: f64,
    /// Whether it is a name by its spelling.
    pub name: bool,
    /// Whether it stands in the scope of an odd number of negations.
    pub negated: bool,
    /// Index of the term that the nearest negation bears on first, light verbs aside: `charge` in
    /// `does not charge for delivery`. None outside a negation's reach.
    pub head: Option<usize>,
}

#[rustfmt::skip]
const LIGHT_VERBS: &[&str] = &[
    "use", "make", "get", "include", "take", "give", "work", "say", "become", "call", "know", "go",
    "come", "contain", "involve", "consist", "seem", "mean", "do", "happen", "exist", "want",
    "people", "person", "thing", "way", "one",
];

/// Words that negate what follows, in lower case.
#[rustfmt::skip]
const CUES: &[&str] = &[
    "not", "no", "never", "none", "nobody", "nothing", "neither", "nor", "without", "cannot",
    "hardly", "barely", "rarely", "seldom", "scarcely", "unable", "false", "untrue", "dont", "cant",
    "wont", "isnt", "doesnt", "didnt", "wasnt", "arent",
];

/// Verbs that negate what follows, folded.
const CUE_VERBS: &[&str] = &["fail", "lack", "refus", "deni", "ceas"];

/// Second words after `no` or `not` that make it no negation of what follows.
const NOT_A_CUE: &[&str] = &["only", "just", "merely", "doubt", "least", "until"];

/// Pairs of opposites; both directions hold.
#[rustfmt::skip]
const ANTONYMS: &[(&str, &str)] = &[
    ("accept", "reject"), ("active", "passive"), ("agree", "disagree"), ("alive", "dead"),
    ("allow", "ban"), ("allow", "forbid"), ("allow", "prohibit"), ("allow", "prevent"),
    ("always", "rarely"), ("ancient", "modern"), ("appear", "disappear"), ("arrive", "depart"),
    ("asleep", "awake"), ("awake", "sleep"), ("bad", "good"), ("before", "after"), ("begin", "end"),
    ("best", "worst"), ("better", "worse"), ("big", "small"), ("bigger", "smaller"),
    ("birth", "death"), ("born", "died"), ("bottom", "top"), ("bright", "dark"), ("buy", "sell"),
    ("bought", "sold"), ("cheap", "expensive"), ("clean", "dirty"), ("closed", "open"),
    ("cold", "hot"), ("cold", "warm"), ("complex", "simple"), ("cool", "warm"), ("cry", "laugh"),
    ("dangerous", "safe"), ("day", "night"), ("decline", "grow"), ("decline", "rise"),
    ("decrease", "increase"), ("decrease", "rise"), ("deep", "shallow"), ("defeat", "victory"),
    ("deny", "confirm"), ("die", "survive"), ("different", "same"), ("dry", "wet"),
    ("earlier", "later"), ("early", "late"), ("easy", "difficult"), ("easy", "hard"),
    ("effective", "useless"), ("empty", "full"), ("enable", "disable"), ("enemy", "friend"),
    ("enter", "leave"), ("fail", "succeed"), ("failure", "success"), ("fall", "rise"),
    ("false", "true"), ("fast", "slow"), ("faster", "slower"), ("female", "male"),
    ("few", "many"), ("fewer", "more"), ("first", "last"), ("gain", "lose"), ("girl", "boy"),
    ("guilty", "innocent"), ("happy", "sad"), ("happy", "unhappy"), ("hate", "love"),
    ("healthy", "sick"), ("heavy", "light"), ("high", "low"), ("higher", "lower"),
    ("import", "export"), ("improve", "worsen"), ("inside", "outside"), ("large", "small"),
    ("largest", "smallest"), ("larger", "smaller"), ("left", "right"), ("legal", "illegal"),
    ("likely", "unlikely"), ("liquid", "solid"), ("long", "short"), ("longer", "shorter"), ("lose", "win"),
    ("lost", "won"), ("major", "minor"), ("man", "woman"), ("men", "women"), ("married", "single"),
    ("maximum", "minimum"), ("more", "less"), ("most", "least"), ("natural", "artificial"),
    ("new", "old"), ("noisy", "quiet"), ("old", "young"), ("oldest", "youngest"),
    ("optional", "mandatory"), ("optional", "required"), ("outdoors", "indoors"),
    ("poor", "rich"), ("positive", "negative"), ("presence", "absence"), ("private", "public"),
    ("proprietary", "free"), ("raise", "lower"), ("rare", "common"), ("reduce", "increase"),
    ("rural", "urban"), ("serial", "parallel"), ("sit", "stand"), ("shrink", "grow"),
    ("start", "stop"), ("strong", "weak"), ("stronger", "weaker"), ("sunny", "rainy"),
    ("support", "oppose"), ("temporary", "permanent"), ("thick", "thin"), ("tall", "short"),
    ("taller", "shorter"), ("tallest", "shortest"), ("tiny", "huge"), ("up", "down"),
    ("walk", "sit"), ("war", "peace"), ("wide", "narrow"), ("with", "without"),
    ("brother", "sister"), ("father", "mother"), ("husband", "wife"), ("son", "daughter"),
    ("king", "queen"), ("offline", "online"), ("dynamic", "static"), ("encoder", "decoder"),
];

/// Closed classes of which one thing is usually one member.
#[rustfmt::skip]
const EXCLUSIVE: &[&[&str]] = &[
    &["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    &["january", "february", "march", "april", "june", "july", "august", "september", "october",
      "november", "december"],
    &["north", "south", "east", "west"],
    &["northern", "southern", "eastern", "western"],
    &["red", "blue", "green", "yellow", "black", "white", "brown", "purple", "pink"],
    &["spring", "summer", "autumn", "winter"],
];

fn table() -> &'static HashMap<String, Vec<String>> {
    static TABLE: OnceLock<HashMap<String, Vec<String>>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut map: HashMap<String, Vec<String>> = HashMap::new();
        let mut add = |a: &str, b: &str| map.entry(stem(a)).or_default().push(stem(b));
        for (a, b) in ANTONYMS {
            add(a, b);
            add(b, a);
        }
        for class in EXCLUSIVE {
            for a in *class {
                class.iter().filter(|b| *b != a).for_each(|b| add(a, b));
            }
        }
        map
    })
}

/// Whether two folded words exclude each other: listed opposites, members of one closed class
/// (weekdays, months, compass, colours, seasons), or one the other with a negating prefix
/// (`effective`, `ineffective`).
pub fn are_antonyms(a: &str, b: &str) -> bool {
    if a == b {
        return false;
    }
    let listed = table().get(a).is_some_and(|opposites| opposites.iter().any(|o| o == b));
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    // Short bases meet prefixes by chance: `form`, `inform`.
    let prefixed = short.len() >= 5
        && ["un", "in", "im", "ir", "il", "dis", "non"]
            .iter()
            .any(|prefix| long.strip_prefix(prefix) == Some(short));
    listed || prefixed
}

/// Whether a word negates what follows it.
pub fn is_negation(word: &str) -> bool {
    let lower = word.to_lowercase();
    lower.ends_with("n't")
        || lower.ends_with("n\u{2019}t")
        || CUES.contains(&lower.as_str())
        || CUE_VERBS.contains(&stem(&lower).as_str())
}

/// The content words of a sentence with their polarity, in order.
///
/// Left out are function words, numbers (see [`super::quantities`]), negation cues and the names
/// of redaction marks such as `[EMAIL]`. A cue negates up to five content words after it, to the
/// next comma, stop, bracket or `but`.
pub fn terms(sentence: &str) -> Vec<Term> {
    let all: Vec<Word<'_>> = words(sentence).collect();
    let mut terms: Vec<Term> = Vec::new();
    // Where the terms in the reach of the last cue begin.
    let mut scope = 0;
    let mut reach = 0;
    let mut negated = false;
    let mut last_end = 0;
    for (i, word) in all.iter().enumerate() {
        let gap = &sentence[last_end..word.start];
        last_end = word.span().end;
        let but = ["but", "although", "though", "however", "because", "while"];
        if gap.contains([',', ';', ':', '(', ')', '.', '!', '?', '\u{2014}'])
            || but.iter().any(|b| word.text.eq_ignore_ascii_case(b))
        {
            reach = 0;
            negated = false;
        }
        let follower = all.get(i + 1).map_or("", |w| w.text);
        let idiom = NOT_A_CUE.iter().any(|w| follower.eq_ignore_ascii_case(w));
        if is_negation(word.text) {
            if !idiom {
                negated = !(negated && reach > 0);
                reach = SCOPE;
                scope = terms.len();
            }
            continue;
        }
        if is_stop_word(word.text) || is_number_word(word) || word.is_redaction_mark(sentence) {
            continue;
        }
        let folded = stem(word.text);
        let name = word.is_marked_name() || (i > 0 && word.is_capitalised());
        let light = LIGHT_VERBS.iter().any(|v| stem(v) == folded);
        let weight = if name {
            NAME
        } else if light {
            LIGHT
        } else {
            1.0
        };
        let negated = negated && reach > 0;
        let head = negated.then(|| {
            let head = terms.iter().skip(scope).position(|t| t.weight > LIGHT);
            head.map_or(terms.len(), |at| scope + at)
        });
        if head == Some(terms.len()) {
            // Light verbs before it lead to it.
            terms.iter_mut().skip(scope).for_each(|t| t.head = head);
        }
        terms.push(Term { stem: folded, weight, name, negated, head });
        reach = reach.saturating_sub(1);
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negated(sentence: &str) -> Vec<String> {
        terms(sentence).into_iter().filter(|t| t.negated).map(|t| t.stem).collect()
    }

    #[test]
    fn cues_negate_to_the_end_of_their_clause() {
        assert_eq!(
            negated("TinyBERT is not effective for classification."),
            ["effectiv", "classifi"]
        );
        assert_eq!(negated("It isn't cheap, but it is fast."), ["cheap"]);
        assert_eq!(negated("It fails to compile"), ["compil"]);
        assert_eq!(negated("Fax works without internet."), ["internet"]);
        assert_eq!(negated("They don’t run"), ["run"]);
        assert_eq!(negated("They refused to deny wages"), Vec::<String>::new());
        assert!(negated("Hard disks and rare birds fly").is_empty());
        assert!(negated("It is not only fast, no doubt.").is_empty());
        assert!(negated("It is never not fast").is_empty());
        assert_eq!(negated("no one two alpha beta gamma delta eps zeta eta").len(), SCOPE);
    }

    #[test]
    fn a_negation_bears_first_on_its_verb() {
        let heads = |sentence: &str| -> Vec<Option<String>> {
            let terms = terms(sentence);
            terms.iter().map(|t| t.head.map(|at| terms[at].stem.clone())).collect()
        };
        let charge = Some("charg".to_owned());
        assert_eq!(
            heads("The carrier doesn't charge for delivery."),
            [None, charge.clone(), charge]
        );
        let net = Some("net".to_owned());
        assert_eq!(heads("It does not use the net"), [net.clone(), net]);
        assert_eq!(heads("It does not work"), [Some("work".to_owned())]);
        assert_eq!(heads("It is fast."), [None]);
    }

    #[test]
    fn terms_weigh_names_and_light_verbs() {
        let t = terms("BitNet uses 1.58-bit weights of [EMAIL] in Paris");
        let shown: Vec<(&str, f64)> = t.iter().map(|t| (t.stem.as_str(), t.weight)).collect();
        assert_eq!(
            shown,
            [("bitnet", 1.5), ("us", 0.3), ("bit", 1.0), ("weight", 1.0), ("paris", 1.5)]
        );
    }

    #[test]
    fn opposites_exclude_each_other() {
        for (a, b) in [
            ("effective", "ineffective"),
            ("increases", "decreasing"),
            ("north", "west"),
            ("likely", "unlikely"),
        ] {
            assert!(
                are_antonyms(&stem(a), &stem(b)) && are_antonyms(&stem(b), &stem(a)),
                "{a} {b}"
            );
        }
        for (a, b) in [("form", "inform"), ("fast", "fast"), ("model", "weight"), ("", "un")] {
            assert!(!are_antonyms(&stem(a), &stem(b)), "{a} {b}");
        }
    }
}
