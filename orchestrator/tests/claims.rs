// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bitnet.claimcheck` with a cross-encoder behind it, on a scripted one: which pairs it is asked,
//! how its labels are read whatever their order, and what becomes of its answers, in its own result
//! and in a brief.

mod agent_support;

use std::sync::{Arc, Mutex};

use agent_support::{DIM, context, covers, hashed, run_agent, scripted_model};
use bho_engine::{
    CancelToken, Classification, Coverage, Embedding, Encoder, EngineError, LabelScore, ModelInfo,
    TokenLabel, WindowScores,
};
use bho_orchestrator::agents::{AgentError, Fields};
use bho_orchestrator::reasoner::{CrossEncoder, EncoderReasoner, Entailer, Pair};
use bho_orchestrator::text::words;
use serde_json::{Value, json};

/// Logits of entailment, neutral and contradiction for (premise, hypothesis).
type Script = fn(&str, &str) -> [f32; 3];

const YES: [f32; 3] = [4.0, 0.0, -2.0];
const OPEN: [f32; 3] = [-1.0, 3.0, -1.0];
const NO: [f32; 3] = [-2.0, 0.0, 4.0];

/// Embeds by hashed words and classifies by a script; remembers the pairs it was asked.
struct Scripted {
    info: ModelInfo,
    labels: Vec<String>,
    script: Script,
    asked: Mutex<Vec<(String, String)>>,
}

impl Encoder for Scripted {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn dim(&self) -> usize {
        DIM
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn embed(&self, texts: &[&str], cancel: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        hashed(texts, cancel)
    }

    fn classify(
        &self,
        texts: &[(&str, Option<&str>)],
        cancel: &CancelToken,
    ) -> Result<Vec<Classification>, EngineError> {
        cancel.check()?;
        let classify = |(first, second): &(&str, Option<&str>)| {
            let second = second.expect("a pair");
            self.asked.lock().unwrap().push(((*first).to_owned(), second.to_owned()));
            let logits = (self.script)(first, second);
            let score = |label: &String| {
                let at = ["entailment", "neutral", "contradiction"]
                    .iter()
                    .position(|name| label.eq_ignore_ascii_case(name));
                let logit = logits[at.expect("a known label")];
                LabelScore { label: label.clone(), logit, probability: 0.0 }
            };
            let labels = self.labels.iter().map(score).collect();
            Classification { labels, coverage: Coverage::default() }
        };
        Ok(texts.iter().map(classify).collect())
    }

    fn classify_windows(&self, _: &str, _: &CancelToken) -> Result<Vec<WindowScores>, EngineError> {
        unreachable!("a claim is judged by pairs")
    }

    fn tag(&self, _: &[&str], _: &CancelToken) -> Result<Vec<Vec<TokenLabel>>, EngineError> {
        unreachable!("a claim is judged by pairs")
    }
}

fn scripted(labels: &[&str], script: Script) -> Arc<Scripted> {
    let info = scripted_model();
    let labels = labels.iter().map(|&l| l.to_owned()).collect();
    Arc::new(Scripted { info, labels, script, asked: Mutex::default() })
}

const USUAL: [&str; 3] = ["entailment", "neutral", "contradiction"];
const ORDERS: [[&str; 3]; 6] = [
    USUAL,
    ["contradiction", "entailment", "neutral"],
    ["neutral", "contradiction", "entailment"],
    ["CONTRADICTION", "NEUTRAL", "ENTAILMENT"],
    ["Entailment", "Contradiction", "Neutral"],
    ["neutral", "entailment", "contradiction"],
];

fn check(encoder: &Arc<Scripted>, input: &Value) -> Result<Fields, AgentError> {
    let result = run("bitnet.claimcheck", encoder, input)?;
    for item in result["evidence"].as_array().unwrap() {
        let score = item["score"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&score), "{item}");
    }
    Ok(result)
}

fn run(agent: &str, encoder: &Arc<Scripted>, input: &Value) -> Result<Fields, AgentError> {
    let reasoner = EncoderReasoner::new(Arc::clone(encoder) as Arc<dyn Encoder>);
    run_agent(agent, input.as_object().unwrap(), &context(&reasoner, &CancelToken::new()))
}

/// Follows if every word of the hypothesis is in the premise: not so the other way round.
fn contained(premise: &str, hypothesis: &str) -> [f32; 3] {
    let all = covers(premise, hypothesis);
    let denied = words(premise).any(|w| w.text == "denied");
    match (all, denied) {
        (true, true) => NO,
        (true, false) => YES,
        (false, _) => OPEN,
    }
}

#[test]
fn labels_are_found_by_name_in_any_order() {
    let text = "The large grey harbour bridge carries trains.\n\nIt is denied that the small \
        bridge carries trams.\n\nRain fell.";
    for labels in ORDERS {
        let encoder = scripted(&labels, contained);
        for (claim, verdict) in [
            ("The bridge carries trains", "supported"),
            ("The small bridge carries trams", "refuted"),
            ("The bridge carries ships", "uncertain"),
        ] {
            let result = check(&encoder, &json!({"claim": claim, "text": text})).unwrap();
            assert_eq!(result["verdict"], verdict, "{labels:?} {claim} {result:?}");
            assert_eq!(result["judge"], "cross-encoder");
        }
    }
}

#[test]
fn the_evidence_is_the_premise_and_the_claim_the_hypothesis() {
    let encoder = scripted(&USUAL, contained);
    let text = "The old harbour bridge carries trains to the docks.";
    let claim = "The bridge carries trains";
    let result = check(&encoder, &json!({"claim": claim, "text": text})).unwrap();
    assert_eq!(result["verdict"], "supported");
    assert_eq!(*encoder.asked.lock().unwrap(), [(text.to_owned(), claim.to_owned())]);
    // The other way round the claim would not do.
    let cross = CrossEncoder::new(encoder as Arc<dyn Encoder>).unwrap();
    let turned = [Pair { premise: claim, hypothesis: text }];
    let scores = cross.entailment(&turned, &CancelToken::new()).unwrap();
    assert!(scores[0].neutral > scores[0].entails);
}

#[test]
fn heads_with_other_labels_leave_it_to_the_rules() {
    for labels in [
        &["entailment", "contradiction"][..],
        &["entailment", "neutral", "contradiction", "other"],
        &["entailment", "entailment", "neutral"],
        &["SAFE", "UNSAFE", "neutral"],
        &[],
    ] {
        let encoder = scripted(labels, |_, _| panic!("not to be asked"));
        let input =
            json!({"claim": "The bridge carries trains", "text": "The bridge carries trains."});
        let result = check(&encoder, &input).unwrap();
        assert_eq!((&result["judge"], &result["verdict"]), (&json!("rules"), &json!("supported")));
    }
}

#[test]
fn support_and_refutation_are_both_kept_and_leave_a_claim_uncertain() {
    let encoder = scripted(&USUAL, contained);
    let kb = json!([
        {"text": "The bridge carries trains.", "source": "guide"},
        {"text": "It is denied that the bridge carries trains.", "source": "paper"}
    ]);
    let result = check(&encoder, &json!({"claim": "The bridge carries trains", "kb": kb})).unwrap();
    assert_eq!(result["verdict"], "uncertain");
    assert!(result["note"].as_str().unwrap().contains("contradicts itself"), "{result:?}");
    let mut relations: Vec<(&str, &str)> = result["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["source"].as_str().unwrap(), e["relation"].as_str().unwrap()))
        .collect();
    relations.sort_unstable();
    assert_eq!(relations, [("guide", "supports"), ("paper", "refutes")]);
}

#[test]
fn neighbouring_sentences_are_read_together() {
    let encoder = scripted(&USUAL, contained);
    let text = "The harbour bridge opened early. It carries heavy trains. Rain fell on the town.\n\n\
        Heavy lorries go elsewhere.";
    let claim = "The harbour bridge carries trains";
    let result = check(&encoder, &json!({"claim": claim, "text": text})).unwrap();
    assert_eq!(result["verdict"], "supported", "{result:?}");
    let both = result["evidence"].as_array().unwrap().iter().find(|e| e["relation"] == "supports");
    let both = both.unwrap();
    let at = |i: usize| usize::try_from(both["span"][i].as_u64().unwrap()).unwrap();
    let shown = both["text"].as_str().unwrap();
    assert_eq!(&text[at(0)..at(1)], shown);
    assert!(shown.contains("bridge") && shown.contains("trains"), "{shown}");
    for (premise, _) in encoder.asked.lock().unwrap().iter() {
        assert!(!premise.contains("\n\n"), "a window stays in its paragraph: {premise}");
    }
}

#[test]
fn guards_overrule_a_fluent_mistake_and_say_why() {
    let encoder = scripted(&USUAL, |_, _| YES);
    for (claim, text, guard, verdict) in [
        ("The bridge has 4 lanes", "The bridge has 6 lanes.", "numbers", "refuted"),
        ("The road is 5 km long", "The road is 5 miles long.", "units", "refuted"),
        ("She was born in May 1990", "She was born in June 1990.", "dates", "refuted"),
        ("The drug is effective", "The drug is not effective.", "negation", "refuted"),
        ("All birds can fly", "Some birds can fly.", "quantifiers", "uncertain"),
        ("Curie was born in Warsaw", "Curie was born in Paris.", "entities", "refuted"),
        ("Mars is larger than Venus", "Venus is larger than Mars.", "comparatives", "refuted"),
    ] {
        let result = check(&encoder, &json!({"claim": claim, "text": text})).unwrap();
        assert_eq!(result["verdict"], verdict, "{claim} {result:?}");
        let ruling = &result["evidence"][0]["overruled"][0];
        assert_eq!((&ruling["guard"], &ruling["from"]), (&json!(guard), &json!("supports")));
        let why = ruling["why"].as_str().unwrap();
        assert!(result["note"].as_str().unwrap().contains(why), "{result:?}");
    }
    let same = json!({"claim": "The road is 5 km long", "text": "The road is 5000 m long."});
    let result = check(&scripted(&USUAL, |_, _| NO), &same).unwrap();
    assert_eq!(result["verdict"], "supported", "{result:?}");
    assert_eq!(result["evidence"][0]["overruled"][0]["guard"], "units");
}

#[test]
fn a_compound_claim_is_checked_part_by_part() {
    let encoder = scripted(&USUAL, contained);
    let claim = "Einstein was born in Ulm and died in Princeton";
    let kb = json!([
        {"text": "Einstein was born in Ulm.", "source": "a"},
        {"text": "Einstein died in Princeton.", "source": "b"}
    ]);
    let result = check(&encoder, &json!({"claim": claim, "kb": kb})).unwrap();
    assert_eq!(result["verdict"], "supported", "{result:?}");
    let parts: Vec<(&str, &str)> = result["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["text"].as_str().unwrap(), p["verdict"].as_str().unwrap()))
        .collect();
    let supported = "supported";
    assert_eq!(
        parts,
        [("Einstein was born in Ulm", supported), ("Einstein died in Princeton", supported)]
    );
    let of_parts: Vec<(&Value, &Value)> = result["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e.get("part").is_some())
        .map(|e| (&e["part"], &e["source"]))
        .collect();
    assert_eq!(of_parts, [(&json!(0), &json!("a")), (&json!(1), &json!("b"))]);

    // One part that is denied refutes the whole, and the text says which.
    let kb = json!(["Einstein was born in Ulm.", "It is denied that Einstein died in Princeton."]);
    let result = check(&encoder, &json!({"claim": claim, "kb": kb})).unwrap();
    assert_eq!(result["verdict"], "refuted", "{result:?}");
    let text = result["text"].as_str().unwrap();
    assert!(text.contains("Not so: \"Einstein died in Princeton\"."), "{text}");
    // One part that nothing speaks of leaves it open.
    let kb = json!(["Einstein was born in Ulm.", "Rain fell."]);
    assert_eq!(
        check(&encoder, &json!({"claim": claim, "kb": kb})).unwrap()["verdict"],
        "uncertain"
    );
}

#[test]
fn what_the_head_gives_is_checked() {
    let input = json!({"claim": "The bridge carries trains", "text": "The bridge carries trains."});
    for bad in [f32::NAN, f32::INFINITY] {
        // The script is a plain function; the two values need one each.
        let script: Script = if bad.is_nan() {
            |_, _| [f32::NAN, 0.0, 0.0]
        } else {
            |_, _| [0.0, f32::INFINITY, 0.0]
        };
        let error = check(&scripted(&USUAL, script), &input).unwrap_err();
        assert_eq!(error.kind, "Model");
        assert!(error.message.contains("no finite score for the label"), "{error}");
    }
}

#[test]
fn a_brief_carries_verdicts_and_says_where_each_sentence_is_from() {
    let encoder = scripted(&USUAL, contained);
    let kb = json!([{"text": "The bridge carries trains.", "source": "guide"}]);
    let open = check(&encoder, &json!({"claim": "The bridge carries ships", "kb": kb})).unwrap();
    let known = check(&encoder, &json!({"claim": "The bridge carries trains", "kb": kb})).unwrap();
    let input = json!({
        "text": "The bridge opened early. Rain fell on the town.",
        "pieces": [open, known, "Rain fell on the town. Boats may pass at night."]
    });
    let brief = run("bitnet.synthesis", &encoder, &input).unwrap();
    let text = brief["text"].as_str().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    // The undecided verdict comes last of the verdicts; what was said already is left out.
    assert!(lines[1].starts_with("- Supported") && lines[2].starts_with("- Uncertain"), "{text}");
    assert_eq!(lines[3], "- Boats may pass at night.");
    assert!(brief["note"].as_str().unwrap().contains("1 repeated sentence left out"));

    let verdicts = brief["verdicts"].as_array().unwrap();
    let of = |i: usize| (&verdicts[i]["verdict"], &verdicts[i]["from"], &verdicts[i]["line"]);
    assert_eq!(of(0), (&json!("supported"), &json!("pieces[1]"), &json!(1)));
    assert_eq!(of(1), (&json!("uncertain"), &json!("pieces[0]"), &json!(2)));
    assert_eq!(verdicts[0]["citations"][0]["source"], "guide");
    assert_eq!(verdicts[0]["citations"][0]["span"], json!([0, 26]));
    assert_eq!(verdicts[1]["citations"], json!([]));

    let sentences = brief["sentences"].as_array().unwrap();
    for sentence in sentences {
        let at = |i: usize| usize::try_from(sentence["span"][i].as_u64().unwrap()).unwrap();
        assert_eq!(&text[at(0)..at(1)], sentence["text"].as_str().unwrap());
        assert!(sentence["from"].is_string());
    }
    assert_eq!(sentences[0]["from"], "text");
    assert_eq!(sentences.last().unwrap()["from"], "pieces[2]");
}

#[test]
fn a_brief_keeps_close_sentences_with_other_facts() {
    let encoder = scripted(&USUAL, contained);
    for (first, second) in [
        ("The bridge was built in May 1990.", "The bridge was built in June 1990."),
        ("All trains use the bridge.", "Some trains use the bridge."),
        ("Mars is larger than Venus.", "Venus is larger than Mars."),
    ] {
        let input = json!({"text": format!("It rained. {first}"), "pieces": [format!("It thawed. {second}")]});
        let brief = run("bitnet.synthesis", &encoder, &input).unwrap();
        assert!(brief["text"].as_str().unwrap().contains(second), "{brief:?}");
    }
}
