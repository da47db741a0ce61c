// SPDX-License-Identifier: AGPL-3.0-or-later
//! Random walks under a constraint end in text that satisfies it; hostile grammars are errors.
#![cfg(feature = "constraints")]

use std::time::{Duration, Instant};

use bho_engine::sampling::{Constraint, Rng, Sampler, SamplingError, SamplingParams, TokenMask};
use bho_models::ConstraintFactory;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Every byte, then longer tokens that cross characters and JSON's punctuation.
fn tokens() -> Vec<Option<Vec<u8>>> {
    let mut tokens: Vec<Option<Vec<u8>>> = (0..=255u8).map(|b| Some(vec![b])).collect();
    let longer: [&[u8]; 22] = [
        b"\", \"",
        b"\": ",
        b"{\"",
        b"\"}",
        b"true",
        b"false",
        b"null",
        b"12",
        b"-",
        b"ab",
        b"abc",
        b"bca",
        b"  ",
        b"\xC3\xA9",
        b"\xE2\x82",
        b"\x82\xAC",
        b"a\xC3",
        b"\xA9b",
        b"\xFF\xFE",
        b"",
        b"]",
        b", ",
    ];
    tokens.extend(longer.map(|t| Some(t.to_vec())));
    // Special tokens: end, another end, one that is never allowed.
    tokens.extend([None, None, None]);
    tokens
}

struct Setup {
    tokens: Vec<Option<Vec<u8>>>,
    factory: ConstraintFactory,
    end: [u32; 2],
}

fn setup() -> Setup {
    let tokens = tokens();
    let n = tokens.len() as u32;
    let end = [n - 3, n - 2];
    let factory =
        ConstraintFactory::from_tokens(tokens.iter().map(Option::as_deref), &end).unwrap();
    Setup { tokens, factory, end }
}

impl Setup {
    /// Random tokens until the end or `limit`; the text, and whether it ended.
    fn walk(&self, constraint: Box<dyn Constraint>, seed: u64, limit: usize) -> (Vec<u8>, bool) {
        let params = SamplingParams { seed, ..SamplingParams::neutral() };
        let mut sampler =
            Sampler::new(&params, self.tokens.len()).unwrap().with_constraint(constraint);
        let mut rng = Rng::new(seed);
        let mut text = Vec::new();
        for step in 0..limit {
            let mut logits: Vec<f32> = self.tokens.iter().map(|_| rng.next_f64() as f32).collect();
            for &end in &self.end {
                // Late, so that texts end; and towards what closes a JSON text.
                logits[end as usize] += step as f32 / 10.0;
            }
            for close in b"\"]}" {
                logits[*close as usize] += step as f32 / 20.0;
            }
            let complete = sampler.is_complete();
            let token = sampler.sample(&mut logits, &[]).unwrap().token;
            match &self.tokens[token as usize] {
                None => {
                    assert!(self.end.contains(&token), "a special token that ends nothing");
                    assert!(complete, "an end that is_complete did not announce");
                    return (text, true);
                }
                Some(bytes) => {
                    assert!(!bytes.is_empty());
                    text.extend_from_slice(bytes);
                }
            }
        }
        (text, false)
    }
}

#[test]
fn walks_end_in_text_that_the_regex_matches() {
    let setup = setup();
    for pattern in [
        r"[a-c]+",
        r"(abc|bca){2,5}",
        r"é*€?[0-9]{3}-\d{2}",
        r"yes|no|maybe, (a|b)/c",
        r"\p{Greek}{1,4}",
        r".{0,6}",
        r#""[^"\\]*""#,
        r"x",
    ] {
        let whole = regex::Regex::new(&format!("^(?:{pattern})$")).unwrap();
        let mut ended = 0;
        for seed in 0..20 {
            let (text, end) = setup.walk(setup.factory.regex(pattern).unwrap(), seed, 300);
            if end {
                ended += 1;
                let text = String::from_utf8(text).expect(pattern);
                assert!(whole.is_match(&text), "{pattern} {text:?}");
            }
        }
        assert!(ended >= 18, "{pattern}: {ended} of 20 walks ended");
    }
}

type Check = fn(&Value) -> bool;

#[test]
fn walks_end_in_json_that_the_schema_accepts() {
    let setup = setup();
    let cases: Vec<(Value, Check)> = vec![
        (json!({"type": "boolean"}), |v| v.is_boolean()),
        (json!({"type": "integer", "minimum": -3, "maximum": 120}), |v| {
            // A number without a fraction is an integer, however it is written.
            v.as_f64().is_some_and(|f| f.fract() == 0.0 && (-3.0..=120.0).contains(&f))
        }),
        (json!({"enum": ["a", "é", 1, null, {"x": [true]}]}), |v| {
            [json!("a"), json!("é"), json!(1), json!(null), json!({"x": [true]})].contains(v)
        }),
        (json!({"type": "string", "maxLength": 5}), |v| {
            v.as_str().is_some_and(|s| s.chars().count() <= 5)
        }),
        (
            json!({"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3}),
            |v| {
                v.as_array()
                    .is_some_and(|a| (1..=3).contains(&a.len()) && a.iter().all(Value::is_boolean))
            },
        ),
        (
            json!({
                "type": "object",
                "properties": {
                    "name": {"type": "string", "pattern": "^[a-c]{1,6}$"},
                    "mood": {"enum": ["ab", "abc"]},
                    "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/leaf"}]},
                },
                "required": ["name", "next"],
                "additionalProperties": false,
                "$defs": {"leaf": {"type": "array", "items": {"$ref": "#/$defs/leaf"}, "maxItems": 2}},
            }),
            |v| {
                fn leaf(v: &Value) -> bool {
                    v.as_array().is_some_and(|a| a.len() <= 2 && a.iter().all(leaf))
                }
                let name = v["name"].as_str().unwrap_or("");
                (1..=6).contains(&name.len())
                    && name.bytes().all(|b| (b'a'..=b'c').contains(&b))
                    && (v["next"].is_null() || leaf(&v["next"]))
                    && v.as_object().is_some_and(|o| {
                        o.contains_key("next")
                            && o.keys().all(|k| ["name", "mood", "next"].contains(&k.as_str()))
                    })
                    && [Value::Null, json!("ab"), json!("abc")].contains(&v["mood"])
            },
        ),
    ];
    for (schema, check) in cases {
        let mut ended = 0;
        for seed in 0..20 {
            let (text, end) = setup.walk(setup.factory.json_schema(&schema).unwrap(), seed, 400);
            if end {
                ended += 1;
                let value: Value = serde_json::from_slice(&text).unwrap_or_else(|e| {
                    panic!("{schema}: {e}: {}", String::from_utf8_lossy(&text))
                });
                assert!(check(&value), "{schema}: {value}");
                assert!(!text.contains(&b'\n'), "white space without end");
            }
        }
        assert!(ended >= 15, "{schema}: {ended} of 20 walks ended");
    }
}

#[test]
fn tokens_that_are_not_allowed_are_refused() {
    let setup = setup();
    let mut constraint = setup.factory.regex("a(bc)?").unwrap();
    let mut mask = TokenMask::new(setup.tokens.len());
    constraint.allowed(&mut mask).unwrap();
    let allowed: Vec<_> = mask.iter().map(|id| setup.tokens[id as usize].clone()).collect();
    assert_eq!(allowed, [Some(b"a".to_vec()), Some(b"ab".to_vec()), Some(b"abc".to_vec())]);
    assert!(!constraint.is_complete());
    let error = constraint.accept(setup.end[0]).unwrap_err().to_string();
    assert!(error.contains("before it is complete"), "{error}");
    constraint.accept(u32::from(b'a')).unwrap();
    assert!(constraint.is_complete());
    mask.clear();
    constraint.allowed(&mut mask).unwrap();
    let mut ids: Vec<u32> = mask.iter().collect();
    ids.retain(|id| !setup.end.contains(id));
    assert_eq!((ids, mask.count()), (vec![u32::from(b'b')], 3));
    assert!(constraint.accept(u32::from(b'x')).is_err());

    let mut constraint = setup.factory.regex("a").unwrap();
    constraint.accept(u32::from(b'a')).unwrap();
    constraint.accept(setup.end[1]).unwrap();
    assert!(constraint.is_complete());
    assert!(constraint.accept(u32::from(b'a')).unwrap_err().to_string().contains("behind the end"));
}

#[test]
fn a_dead_end_is_an_error() {
    // A vocabulary without the letter that the constraint needs next.
    let tokens: [Option<&[u8]>; 3] = [Some(b"a"), Some(b"c"), None];
    let factory = ConstraintFactory::from_tokens(tokens.into_iter(), &[2]).unwrap();
    let constraint = factory.regex("ab").unwrap();
    let mut sampler =
        Sampler::new(&SamplingParams::greedy(), 3).unwrap().with_constraint(constraint);
    assert_eq!(sampler.sample(&mut [0.0; 3], &[]).unwrap().token, 0);
    let error = sampler.sample(&mut [0.0; 3], &[]).unwrap_err();
    assert!(matches!(error, SamplingError::NoToken(_) | SamplingError::Constraint(_)), "{error}");
    let error = factory.regex("b").err().unwrap().to_string();
    assert_eq!(error, "constraint: no text of these tokens satisfies it");
}

#[test]
fn vocabularies_that_do_not_fit_are_errors() {
    let tokens: [Option<&[u8]>; 2] = [Some(b"a"), None];
    let error = |end: &[u32]| {
        ConstraintFactory::from_tokens(tokens.into_iter(), end).unwrap_err().to_string()
    };
    assert!(error(&[]).contains("needs a token that ends an answer"));
    assert!(error(&[2]).contains("past the vocabulary"));
    let long = vec![b'a'; 5000];
    let tokens: [Option<&[u8]>; 3] = [Some(b"a"), Some(&long), None];
    let factory = ConstraintFactory::from_tokens(tokens.into_iter(), &[2]).unwrap();
    let mut mask = TokenMask::new(3);
    factory.regex("a*").unwrap().allowed(&mut mask).unwrap();
    assert!(!mask.allows(1));
}

/// Follows a constraint for some tokens; whatever happens must happen soon.
fn try_out(
    setup: &Setup,
    made: Result<Box<dyn Constraint>, SamplingError>,
) -> Result<(), SamplingError> {
    let mut constraint = made?;
    let mut mask = TokenMask::new(setup.tokens.len());
    for _ in 0..50 {
        mask.clear();
        constraint.allowed(&mut mask)?;
        let Some(id) = mask.iter().next() else { return Ok(()) };
        constraint.accept(id)?;
    }
    Ok(())
}

#[test]
fn hostile_grammars_end_soon() {
    let setup = setup();
    let mut deep = json!({"type": "string"});
    for _ in 0..2000 {
        deep = json!({"type": "array", "items": deep});
    }
    let doubling = (0..12).fold(json!({"type": "string"}), |s, _| json!({"anyOf": [s.clone(), s]}));
    let refs: serde_json::Map<String, Value> = (0..60)
        .map(|i| {
            let next = json!({"$ref": format!("#/$defs/d{}", i + 1)});
            (format!("d{i}"), json!({"allOf": [next, next]}))
        })
        .chain([("d60".to_owned(), json!({"type": "string"}))])
        .collect();
    let many: serde_json::Map<String, Value> =
        (0..3000).map(|i| (format!("p{i}"), json!({"type": "string"}))).collect();
    // Errors are wanted of these; of the rest only an end.
    let schemas = [
        ("deep", true, deep),
        ("references that double", false, json!({"$ref": "#/$defs/d0", "$defs": refs})),
        ("a reference to itself", true, json!({"$ref": "#"})),
        (
            "a circle",
            true,
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        ),
        ("many optional properties", false, json!({"type": "object", "properties": many})),
        ("long strings", false, json!({"type": "string", "minLength": 1_000_000_000})),
        ("large arrays", false, json!({"type": "array", "minItems": 1_000_000_000})),
        ("nothing", true, json!(false)),
        ("contradiction", true, json!({"type": "integer", "minimum": 3, "maximum": 2})),
        ("another document", true, json!({"$ref": "https://example.com/schema"})),
        ("unknown type", true, json!({"type": "strange"})),
        ("a bad pattern", true, json!({"type": "string", "pattern": "("})),
        (
            "an exponential pattern",
            false,
            json!({"type": "string", "pattern": "^(a|b)*a(a|b){500}$"}),
        ),
        ("doubling", false, doubling),
    ];
    for (what, error, schema) in schemas {
        let start = Instant::now();
        let result = try_out(&setup, setup.factory.json_schema(&schema));
        assert!(!error || result.is_err(), "{what} was accepted");
        assert!(start.elapsed() < Duration::from_secs(60), "{what} took {:?}", start.elapsed());
    }
    let regexes = [
        ("groups", true, "(".repeat(5000) + &")".repeat(5000)),
        ("unclosed", true, "(((".into()),
        ("long", true, "a".repeat(20_000)),
        ("counted", false, "((a{1000}){1000}){1000}".into()),
        ("blow-up", false, "(a|b)*a(a|b){1000}".into()),
        ("stars", false, "(((a*)*)*)*b".into()),
        ("nothing", true, "[^\\s\\S]".into()),
        ("look-around", true, "(?=a)b".into()),
        ("classes", false, "\\p{L}{200}\\p{N}{200}".into()),
        ("alternatives", false, (0..3000).map(|i| format!("{i}x")).collect::<Vec<_>>().join("|")),
        ("a slash and a line", false, "a/\nstart: /b/".into()),
    ];
    for (what, error, pattern) in regexes {
        let start = Instant::now();
        let result = try_out(&setup, setup.factory.regex(&pattern));
        assert!(!error || result.is_err(), "{what} was accepted");
        assert!(start.elapsed() < Duration::from_secs(60), "{what} took {:?}", start.elapsed());
    }
}

/// Regular expressions of the syntax that both sides know.
fn patterns() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a", "b", "ab", "é", "€", "[a-c]", "[^a]", r"\d", r"\w", ".", r"\p{L}", r"\.", "/", "\"",
        "", r"\n", "(?i:B)",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|p| format!("({})", p.join("|"))),
            (inner, prop::sample::select(vec!["*", "?", "+", "{2}", "{0,3}", "{1,}", "*?"]))
                .prop_map(|(p, times)| format!("(?:{p}){times}")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_regex_is_followed(pattern in patterns(), seed in any::<u64>()) {
        let setup = setup();
        let whole = regex::Regex::new(&format!("^(?:{pattern})$")).unwrap();
        // A few expressions end in an assertion inside llguidance, such as `((\w|é)|\w)`: an error.
        let constraint = match setup.factory.regex(&pattern) {
            Err(e) if e.to_string().contains("panic") => return Ok(()),
            found => found.unwrap(),
        };
        let (text, ended) = setup.walk(constraint, seed, 120);
        if ended {
            let text = String::from_utf8(text).unwrap();
            prop_assert!(whole.is_match(&text), "{} {:?}", pattern, text);
        }
    }
}
