// SPDX-License-Identifier: AGPL-3.0-or-later
//! The built-in agents, on a deterministic encoder that hashes words: what they pick, decide and
//! refuse must not depend on a model's weights.

mod agent_support;

use agent_support::{DIM, context, hashed, run_agent};
use bho_engine::{CancelToken, Embedding, EngineError, ModelInfo};
use bho_orchestrator::agents::{AgentContext, AgentError, AgentRegistry, Fields};
use bho_orchestrator::binding::NodeView;
use bho_orchestrator::config::{self, MissingInputs};
use bho_orchestrator::merge::merge;
use bho_orchestrator::reasoner::Reasoner;
use serde_json::{Value, json};

/// A bag of hashed content words, L2-normalised.
struct Words;

impl Reasoner for Words {
    fn models(&self) -> Vec<ModelInfo> {
        Vec::new()
    }

    fn embed(&self, texts: &[&str], cancel: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        hashed(texts, cancel)
    }
}

/// A model that always fails.
struct Broken;

impl Reasoner for Broken {
    fn models(&self) -> Vec<ModelInfo> {
        Vec::new()
    }

    fn embed(&self, _: &[&str], _: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        Err(EngineError::Input("broken".into()))
    }
}

struct Run<'a> {
    reasoner: &'a dyn Reasoner,
    cancel: CancelToken,
    missing: Vec<(String, String)>,
    missing_inputs: MissingInputs,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Self {
            reasoner: &Words,
            cancel: CancelToken::new(),
            missing: Vec::new(),
            missing_inputs: MissingInputs::SkipAndLabel,
        }
    }
}

impl Run<'_> {
    fn agent(&self, name: &str, input: &Value) -> Result<Fields, AgentError> {
        let context = AgentContext {
            missing: &self.missing,
            missing_inputs: self.missing_inputs,
            ..context(self.reasoner, &self.cancel)
        };
        run_agent(name, input.as_object().expect("fields"), &context)
    }
}

fn run(name: &str, input: &Value) -> Fields {
    Run::default().agent(name, input).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn fails(name: &str, input: &Value) -> AgentError {
    Run::default().agent(name, input).expect_err("an error")
}

fn text(result: &Fields) -> &str {
    result["text"].as_str().expect("text")
}

const ARTICLE: &str = "Contact me at [EMAIL]. BitNet b1.58 is efficient: it stores every weight as \
    -1, 0 or +1, about 1.58 bits each, and reaches the quality of full-precision models of the \
    same size.\nTinyBERT is a small encoder distilled from BERT that works well for text \
    classification — “größer” ist es nicht. Small models run on small computers. Models with \
    ternary weights need little memory on small computers. Call [PHONE] for the slides.";

#[test]
fn registry_lists_the_builtin_agents() {
    let registry = AgentRegistry::builtin();
    let names: Vec<&str> = registry.names().collect();
    assert_eq!(
        names,
        [
            "bitnet.claimcheck",
            "bitnet.embed",
            "bitnet.generate",
            "bitnet.summarizer",
            "bitnet.synthesis",
            "tools.retriever"
        ]
    );
    for name in names {
        let spec = registry.get(name).unwrap().spec();
        assert!(spec.outputs.contains(&"text") && !spec.summary.is_empty());
        assert_eq!(spec.not_yet.is_some(), name == "tools.retriever");
    }
}

#[test]
fn summary_keeps_the_order_and_spans_of_its_sentences() {
    let result = run("bitnet.summarizer", &json!({"text": ARTICLE, "max_sentences": 3}));
    let sentences = result["sentences"].as_array().unwrap();
    assert_eq!(sentences.len(), 3);
    let mut last = 0;
    for sentence in sentences {
        let at = |i: usize| usize::try_from(sentence["span"][i].as_u64().unwrap()).unwrap();
        assert!(at(0) >= last && at(1) <= ARTICLE.len());
        last = at(1);
        assert_eq!(&ARTICLE[at(0)..at(1)], sentence["text"].as_str().unwrap());
        let score = sentence["score"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&score));
    }
    assert!(!text(&result).contains("[EMAIL]") && !text(&result).contains("[PHONE]"), "{result:?}");
    assert!(!text(&result).contains('\n'));
    let phrases = result["key_phrases"].as_array().unwrap();
    assert!(phrases.contains(&json!("BitNet b1.58")), "{phrases:?}");
    assert_eq!(result["coverage"], json!({"sentences": 6, "compared": 4}));
    assert!(!result.contains_key("note"));
}

#[test]
fn summary_avoids_repetition() {
    let text = "Solar panels turn sunlight into power. Solar panels turn sunlight to power. \
        Sunlight on solar panels gives power. Wind turbines give power at night.";
    let result = run("bitnet.summarizer", &json!({"text": text, "max_sentences": 2}));
    let picked: Vec<&str> =
        result["sentences"].as_array().unwrap().iter().filter_map(|s| s["text"].as_str()).collect();
    assert_eq!(picked.len(), 2);
    assert!(picked[1].starts_with("Wind"), "{picked:?}");
}

#[test]
fn max_chars_holds_for_every_limit_and_style() {
    for style in ["extract", "bullets"] {
        for max in 1..400 {
            let input =
                json!({"text": ARTICLE, "max_sentences": 3, "max_chars": max, "style": style});
            let result = run("bitnet.summarizer", &input);
            assert!(text(&result).chars().count() <= max, "{style} {max}: {}", text(&result));
            for sentence in result["sentences"].as_array().unwrap() {
                let at = |i: usize| usize::try_from(sentence["span"][i].as_u64().unwrap()).unwrap();
                assert_eq!(&ARTICLE[at(0)..at(1)], sentence["text"].as_str().unwrap());
            }
        }
    }
    // The cut sentence is told.
    let result = run("bitnet.summarizer", &json!({"text": ARTICLE, "max_chars": 20}));
    assert!(
        text(&result).ends_with('\u{2026}') && result["note"].as_str().unwrap().contains("cut")
    );
    // A limit of exactly its length leaves a sentence whole.
    let input = json!({"text": "Small models run on small computers.", "max_chars": 36});
    assert_eq!(text(&run("bitnet.summarizer", &input)), "Small models run on small computers.");
}

#[test]
fn bullets_are_one_line_a_sentence() {
    let input = json!({"text": ARTICLE, "max_sentences": 2, "style": "bullets"});
    let result = run("bitnet.summarizer", &input);
    let lines: Vec<&str> = text(&result).lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|l| l.starts_with("- ")));
}

#[test]
fn summary_of_nothing_says_so() {
    for empty in ["", " \n\t", "...", "---"] {
        let result = run("bitnet.summarizer", &json!({"text": empty}));
        assert_eq!(text(&result), "");
        assert!(result["note"].as_str().unwrap().contains("no sentences"));
        assert_eq!(result["sentences"], json!([]));
    }
}

#[test]
fn a_long_text_says_how_much_was_compared() {
    let text: String =
        (0..5000).map(|i| format!("Model {i} of lab{i} weighs parameter{i} grams. ")).collect();
    let result = run("bitnet.summarizer", &json!({"text": text}));
    assert!(
        result["note"].as_str().unwrap().contains("of 5000 distinct sentences"),
        "{:?}",
        result["note"]
    );
    assert_eq!(result["coverage"]["sentences"], 5000);
    assert_eq!(result["sentences"].as_array().unwrap().len(), 3);
}

fn verdict(claim: &str, text: &str) -> (String, f64, Fields) {
    let result = run("bitnet.claimcheck", &json!({"claim": claim, "text": text, "kb": []}));
    let score = result["score"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&score));
    (result["verdict"].as_str().unwrap().to_owned(), score, result)
}

#[test]
fn matching_text_supports_a_claim() {
    let (name, score, result) =
        verdict("BitNet uses 1.58-bit weights", "Hello. BitNet uses weights of 1.58 bits. Bye.");
    assert_eq!(name, "supported");
    assert!(score > 0.6);
    let shown = text(&result);
    assert!(
        shown.starts_with("Supported (0.")
            && shown.contains("Evidence: \"BitNet uses weights of 1.58 bits.\""),
        "{shown}"
    );
    let first = &result["evidence"][0];
    assert_eq!(
        (first["relation"].as_str(), first["source"].as_str()),
        (Some("supports"), Some("text"))
    );
    assert_eq!(first["span"], json!([7, 40]));
}

#[test]
fn another_number_refutes_a_claim() {
    let (name, _, result) =
        verdict("BitNet uses 2-bit weights", "BitNet uses weights of 1.58 bits.");
    assert_eq!(name, "refuted", "{result:?}");
    assert!(text(&result).starts_with("Refuted (0."));
}

#[test]
fn a_negation_refutes_a_claim() {
    let claim = "TinyBERT is effective for classification";
    for text in [
        "TinyBERT is not effective for classification.",
        "TinyBERT isn’t effective for classification.",
        "TinyBERT is ineffective for classification.",
    ] {
        assert_eq!(verdict(claim, text).0, "refuted", "{text}");
    }
    assert_eq!(verdict(claim, "TinyBERT is very effective for classification.").0, "supported");
}

#[test]
fn unrelated_text_leaves_a_claim_uncertain() {
    let (name, score, result) =
        verdict("BitNet uses 1.58-bit weights", "The cat sat on the mat. It rained.");
    assert_eq!(name, "uncertain");
    assert!(score > 0.5 && text(&result).ends_with("Nothing speaks of it."), "{}", text(&result));
}

#[test]
fn without_evidence_the_verdict_says_why() {
    for input in [
        json!({"claim": "A is B"}),
        json!({"claim": "A is B", "text": "", "kb": []}),
        json!({"claim": "A is B", "text": null, "kb": null}),
        json!({"claim": "A is B", "kb": [null, ""]}),
    ] {
        let result = run("bitnet.claimcheck", &input);
        assert_eq!(result["verdict"], "uncertain");
        assert!(result["note"].as_str().unwrap().contains("empty"));
        assert_eq!(result["evidence"], json!([]));
    }
}

#[test]
fn contradicting_sources_leave_a_claim_uncertain() {
    let input = json!({
        "claim": "BitNet uses 1.58-bit weights",
        "kb": ["BitNet uses 1.58-bit weights.", "BitNet uses no 1.58-bit weights."]
    });
    let result = run("bitnet.claimcheck", &input);
    assert_eq!(result["verdict"], "uncertain", "{result:?}");
    assert!(result["note"].as_str().unwrap().contains("contradicts"));
}

#[test]
fn kb_items_name_their_source() {
    let sentence = "BitNet uses 1.58-bit weights.";
    for (kb, source) in [
        (json!(sentence), "kb"),
        (json!([sentence]), "kb[0]"),
        (json!(["x y z", {"text": sentence}]), "kb[1]"),
        (json!([{"text": sentence, "source": "paper.md"}]), "paper.md"),
        (json!([{"text": sentence, "id": 7}]), "7"),
        (json!({"text": sentence, "title": "BitNet"}), "BitNet"),
    ] {
        let result =
            run("bitnet.claimcheck", &json!({"claim": "BitNet uses 1.58-bit weights", "kb": kb}));
        assert_eq!(result["evidence"][0]["source"], source);
        assert_eq!(result["verdict"], "supported");
    }
    let merged = json!({"claim": "BitNet uses 1.58-bit weights", "chunks": [{"text": sentence}]});
    assert_eq!(run("bitnet.claimcheck", &merged)["evidence"][0]["source"], "chunks[0]");
}

#[test]
fn a_brief_leads_with_the_text_and_names_what_is_missing() {
    let context = Run {
        missing: vec![
            ("claim2".into(), "timeout:claim2:600".into()),
            ("claim3".into(), "node_failed:claim3:Model:secret detail".into()),
            ("claim4".into(), "blocked_pre:jailbreak".into()),
        ],
        ..Run::default()
    };
    let input = json!({
        "text": "BitNet is small.",
        "pieces": ["Supported (0.90): \"a b\".", null, {"text": "Refuted (0.80): \"c d\"."}, null, null]
    });
    let result = context.agent("bitnet.synthesis", &input).unwrap();
    assert_eq!(
        text(&result),
        "BitNet is small.\n- Supported (0.90): \"a b\".\n- Refuted (0.80): \"c d\".\n\
         Missing: claim2 (timeout), claim3 (failed: Model), claim4 (input blocked)"
    );
    assert_eq!(
        result["sources"],
        json!([
            {"line": 0, "from": "text"},
            {"line": 1, "from": "pieces[0]"},
            {"line": 2, "from": "pieces[2]"}
        ])
    );
    let strict = Run { missing_inputs: MissingInputs::Error, ..context };
    let error = strict.agent("bitnet.synthesis", &input).unwrap_err();
    assert_eq!(error.kind, "MissingInput");
    assert!(error.message.contains("claim2 (timeout)") && !error.message.contains("secret"));
}

#[test]
fn a_brief_says_nothing_twice_but_keeps_what_differs() {
    let input = json!({
        "text": "Solar panels give power.",
        "pieces": [
            "solar panels  give POWER",
            "Supported (0.90): solar panels cost 5 euros.",
            "Supported (0.90): panels solar cost 5 euros.",
            "Supported (0.90): solar panels cost 7 euros.",
            "Supported (0.90): solar panels do not cost 5 euros.",
            "Refuted (0.90): solar panels cost 5 euros."
        ]
    });
    let result = run("bitnet.synthesis", &input);
    assert_eq!(text(&result).lines().count(), 5, "{}", text(&result));
    assert!(result["note"].as_str().unwrap().contains("2 repeated lines"));
    // Without a model, words still tell the equal ones.
    let broken = Run { reasoner: &Broken, ..Run::default() };
    let result = broken.agent("bitnet.synthesis", &input).unwrap();
    assert_eq!(text(&result).lines().count(), 6);
    assert!(result["note"].as_str().unwrap().contains("words only"));
}

#[test]
fn a_part_of_a_sentence_of_the_lead_is_no_repetition() {
    let brief = |lead: &str, piece: &str| {
        run("bitnet.synthesis", &json!({"text": lead, "pieces": [piece]}))
    };
    for (lead, piece) in [
        ("Nobody has shown that the drug is safe.", "The drug is safe."),
        ("It is false that the bridge is closed. Cars pass.", "The bridge is closed."),
    ] {
        let result = brief(lead, piece);
        assert_eq!(text(&result), format!("{lead}\n- {piece}"));
        assert!(!result.contains_key("note"), "{result:?}");
    }
    let lead = "The bridge is closed. Cars pass. Ships wait.";
    assert_eq!(text(&brief(lead, "Cars pass.  Ships wait")), lead);
}

#[test]
fn an_empty_piece_is_named_beside_nodes_that_failed() {
    let missing = vec![("g".to_owned(), "node_failed:g:NoModel:x".to_owned())];
    let context = Run { missing, ..Run::default() };
    let result =
        context.agent("bitnet.synthesis", &json!({"pieces": ["", {"text": null}]})).unwrap();
    assert_eq!(text(&result), "Missing: g (failed: NoModel), piece 1 (no value)");
}

#[test]
fn a_brief_of_a_plain_merge_uses_its_fields() {
    let merged = json!({"text": "BitNet is small.", "key_phrases": ["BitNet", "weights"], "sentences": [], "k": 3});
    assert_eq!(
        text(&run("bitnet.synthesis", &merged)),
        "BitNet is small.\n- Key phrases: BitNet, weights"
    );
    let told = json!({"text": "Supported (0.9): \"A is B\".", "verdict": "supported", "claim": "A is B", "score": 0.9});
    assert_eq!(text(&run("bitnet.synthesis", &told)), "Supported (0.9): \"A is B\".");
    let untold =
        json!({"text": "A summary.", "verdict": "refuted", "claim": "A is B", "score": 0.9});
    assert_eq!(
        text(&run("bitnet.synthesis", &untold)),
        "A summary.\n- Verdict: refuted (0.90): \"A is B\""
    );
    let nothing = run("bitnet.synthesis", &json!({}));
    assert_eq!(text(&nothing), "");
    assert!(nothing["note"].as_str().unwrap().contains("nothing to join"));
    let listed = json!({"pieces": [["a one", "b two"], "two\nlines"]});
    assert_eq!(text(&run("bitnet.synthesis", &listed)), "- a one, b two\n- two\n  lines");
    let unnamed = json!({"pieces": ["alpha", null]});
    assert!(text(&run("bitnet.synthesis", &unnamed)).ends_with("Missing: piece 2 (no value)"));
}

/// The input of a node without `io`: the source, its parents' results, its params.
fn merged(source: &str, parents: &[(&str, &Fields)], params: &Value) -> Value {
    let source = Fields::from_iter([("text".to_owned(), source.into())]);
    let views = parents.iter().map(|(id, fields)| (*id, NodeView { fields, absent: None }));
    Value::Object(merge(&source, views, params.as_object().unwrap()))
}

#[test]
fn a_brief_without_io_has_the_summary_and_every_verdict() {
    // The nodes of quick_single.yml and quick_chat.yml.
    let parse = run("bitnet.summarizer", &merged(ARTICLE, &[], &json!({"max_sentences": 3})));
    let check = |claim: &str| {
        run("bitnet.claimcheck", &merged(ARTICLE, &[("parse", &parse)], &json!({"claim": claim})))
    };
    let first = check("BitNet stores every weight as -1, 0 or +1");
    let second = check("TinyBERT is not distilled from BERT");
    assert_eq!(first["checked"], json!({"node": "parse", "text": parse["text"]}));
    assert_eq!((&first["verdict"], &second["verdict"]), (&json!("supported"), &json!("refuted")));

    let checks = [("claim1", &first), ("claim2", &second)];
    let brief = run("bitnet.synthesis", &merged(ARTICLE, &checks, &json!({})));
    let shown = format!("{}\n- {}\n- {}", text(&parse), text(&first), text(&second));
    assert_eq!(text(&brief), shown);
    assert_eq!(
        brief["sources"],
        json!([
            {"line": 0, "from": "text", "node": "parse"},
            {"line": 1, "from": "text", "node": "claim1"},
            {"line": 2, "from": "text", "node": "claim2"}
        ])
    );
    assert!(!brief.contains_key("note"), "{:?}", brief["note"]);

    // As a parent of its own, the summary still stands there once, with its key phrases.
    let all = [("parse", &parse), ("claim1", &first), ("claim2", &second)];
    let brief = run("bitnet.synthesis", &merged(ARTICLE, &all, &json!({})));
    assert!(text(&brief).starts_with(&format!("{}\n- Key phrases: ", text(&parse))));
    assert_eq!(text(&brief).lines().count(), 4);

    // A lead of its own stands before all.
    let brief = run("bitnet.synthesis", &merged(ARTICLE, &checks, &json!({"text": "In short:"})));
    assert_eq!(text(&brief).lines().next(), Some("In short:"));
    assert_eq!(text(&brief).lines().count(), 4);

    // minimal.yml.
    let brief = run("bitnet.synthesis", &merged(ARTICLE, &[("parse", &parse)], &json!({})));
    assert_eq!(text(&brief).lines().next(), Some(text(&parse)));
}

#[test]
fn a_brief_of_failed_parents_does_not_repeat_the_source() {
    let nothing = Fields::new();
    let input = merged(ARTICLE, &[("claim1", &nothing), ("claim2", &nothing)], &json!({}));
    let missing = ["claim1", "claim2"].map(|id| (id.to_owned(), format!("timeout:{id}:600")));
    let context = Run { missing: missing.into(), ..Run::default() };
    let result = context.agent("bitnet.synthesis", &input).unwrap();
    assert_eq!(text(&result), "Missing: claim1 (timeout), claim2 (timeout)");
}

#[test]
fn a_check_passes_on_short_texts_of_parents_only() {
    let of = |text: &str| Fields::from_iter([("text".to_owned(), text.into())]);
    let check = |input: &Value| run("bitnet.claimcheck", input).get("checked").cloned();
    let (a, b, long) = (of("A is B."), of("C is D."), of(&"A is B. ".repeat(3000)));
    let claim = json!({"claim": "A is B"});
    assert_eq!(check(&merged("A is B.", &[], &claim)), None);
    assert_eq!(check(&merged("s", &[("a", &a)], &json!({"claim": "c", "text": "A is C."}))), None);
    assert_eq!(check(&merged("s", &[("a", &long)], &claim)), None);
    let both = check(&merged("s", &[("a", &a), ("b", &b)], &claim));
    assert_eq!(both, Some(json!({"node": "b", "text": "C is D."})));
}

#[test]
fn embed_gives_one_unit_vector_a_text() {
    let result = run("bitnet.embed", &json!({"texts": ["solar power", {"text": "wind"}, ""]}));
    assert_eq!(text(&result), "Embedded 3 texts, 512 dimensions.");
    assert_eq!(result["dim"], DIM);
    let norms: Vec<f64> = result["embeddings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e.as_array().unwrap().iter().map(|v| v.as_f64().unwrap().powi(2)).sum())
        .collect();
    assert!((norms[0] - 1.0).abs() < 1e-6 && (norms[1] - 1.0).abs() < 1e-6 && norms[2] == 0.0);
    // The decimals read back as the very same f32.
    let value = result["embeddings"][0]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|v| v.as_f64().filter(|f| *f > 0.0));
    assert_eq!(value.unwrap() as f32, 1.0 / 2.0_f32.sqrt());
    assert_eq!(
        text(&run("bitnet.embed", &json!({"text": "one"}))),
        "Embedded 1 text, 512 dimensions."
    );
}

#[test]
fn the_retriever_says_why_it_finds_nothing() {
    for query in [json!("q"), json!(["a", {"text": "b"}]), json!([])] {
        let result = run("tools.retriever", &json!({"query": query, "k": 4}));
        assert_eq!(result["chunks"], json!([]));
        assert!(text(&result).contains("storage.rag_index"));
    }
}

/// What validation says of a node of this agent with these parameters and inputs.
fn validated(agent: &str, rest: &str) -> Vec<String> {
    let text = format!(
        "version: 0.1.0\nschema: pipeline.v1\nname: demo\nnodes:\n  - id: one\n    agent: {agent}\n{rest}"
    );
    let loaded = config::load_str(&text, &AgentRegistry::builtin());
    let errors = loaded.faults.iter().filter(|fault| fault.is_error());
    errors.map(|fault| format!("{} {} {}", fault.code, fault.path, fault.message)).collect()
}

#[test]
fn what_a_run_would_refuse_of_parameters_together_validation_finds() {
    for (agent, rest, expected) in [
        (
            "bitnet.generate",
            "    params: { prompt: p, schema: { type: object }, regex: a }",
            &["bad_param nodes[0].params.regex `schema` and `regex` are both given"][..],
        ),
        (
            "bitnet.generate",
            "    params: { prompt: p, raw: true, system: s, stop: [\"\"] }",
            &[
                "bad_param nodes[0].params.system a raw prompt takes no `system`",
                "bad_param nodes[0].params.stop stop strings: number 0 has 0 bytes, accepted: 1 to 4096",
            ],
        ),
        (
            "bitnet.generate",
            "    params: { prompt: p, schema: true }",
            &["bad_param nodes[0].params.schema `schema` must be a map, found `true`"],
        ),
        (
            "bitnet.embed",
            "    io: { inputs: { other: a } }",
            &["missing_param nodes[0] neither `texts` nor `text` is given"],
        ),
        // What a run may yet bring is left to it.
        ("bitnet.generate", "    params: { prompt: p, schema: \"${source.s}\", regex: a }", &[]),
        ("bitnet.generate", "    params: { prompt: p, raw: false, system: s, stop: [a] }", &[]),
        ("bitnet.embed", "    io: { inputs: { text: \"${source.text}\" } }", &[]),
        ("bitnet.embed", "", &[]),
        ("tools.retriever", "    params: { query: [{ text: a }, b] }", &[]),
    ] {
        assert_eq!(validated(agent, rest), expected, "{agent} {rest}");
    }
}

#[test]
fn generate_needs_a_model() {
    let error = fails("bitnet.generate", &json!({"prompt": "hello"}));
    assert_eq!(error.kind, "NoModel");
    assert!(error.message.contains("models.reasoner_path"), "{error}");
}

#[test]
fn missing_and_mistyped_fields_are_named_without_their_value() {
    for (agent, input, kind, says) in [
        (
            "bitnet.summarizer",
            json!({}),
            "MissingInput",
            "`text`; accepted fields: text, max_sentences",
        ),
        ("bitnet.summarizer", json!({"text": null}), "MissingInput", "`text`"),
        (
            "bitnet.summarizer",
            json!({"text": ["SECRET"]}),
            "InvalidInput",
            "text: found a list, accepted: text",
        ),
        ("bitnet.summarizer", json!({"text": "a", "max_sentences": 0}), "InvalidInput", "1..=100"),
        (
            "bitnet.summarizer",
            json!({"text": "a", "max_sentences": 101}),
            "InvalidInput",
            "1..=100",
        ),
        ("bitnet.summarizer", json!({"text": "a", "max_sentences": -3}), "InvalidInput", "1..=100"),
        (
            "bitnet.summarizer",
            json!({"text": "a", "max_sentences": 2.5}),
            "InvalidInput",
            "1..=100",
        ),
        (
            "bitnet.summarizer",
            json!({"text": "a", "max_sentences": "SECRET"}),
            "InvalidInput",
            "found text",
        ),
        (
            "bitnet.summarizer",
            json!({"text": "a", "style": "SECRET"}),
            "InvalidInput",
            "extract | bullets",
        ),
        ("bitnet.claimcheck", json!({"text": "a"}), "MissingInput", "`claim`"),
        ("bitnet.claimcheck", json!({"claim": " "}), "InvalidInput", "claim"),
        ("bitnet.claimcheck", json!({"claim": 5}), "InvalidInput", "claim: found a number"),
        ("bitnet.claimcheck", json!({"claim": "a", "kb": 5}), "InvalidInput", "kb: found a number"),
        (
            "bitnet.claimcheck",
            json!({"claim": "a", "kb": ["SECRET", 5]}),
            "InvalidInput",
            "kb[1]: found a number",
        ),
        (
            "bitnet.claimcheck",
            json!({"claim": "a", "kb": [{"body": "SECRET"}]}),
            "InvalidInput",
            "kb[0]: found a map without",
        ),
        ("bitnet.synthesis", json!({"text": {"a": "SECRET"}}), "InvalidInput", "text: found a map"),
        (
            "bitnet.synthesis",
            json!({"pieces": [true]}),
            "InvalidInput",
            "pieces[0]: found a boolean",
        ),
        ("bitnet.synthesis", json!({"pieces": [[1]]}), "InvalidInput", "pieces[0]"),
        ("bitnet.synthesis", json!({"pieces": vec!["a"; 257]}), "InvalidInput", "257 pieces"),
        ("bitnet.embed", json!({}), "MissingInput", "`texts`"),
        ("bitnet.embed", json!({"texts": [1]}), "InvalidInput", "texts[0]: found a number"),
        ("bitnet.embed", json!({"texts": vec!["a"; 5000]}), "InvalidInput", "4096 at most"),
        ("tools.retriever", json!({}), "MissingInput", "`query`"),
        ("tools.retriever", json!({"query": 1}), "InvalidInput", "query: found a number"),
        ("tools.retriever", json!({"query": "a", "k": 101}), "InvalidInput", "1..=100"),
        ("bitnet.generate", json!({}), "MissingInput", "`prompt`"),
        ("bitnet.generate", json!({"prompt": []}), "InvalidInput", "prompt: found a list"),
    ] {
        let error = fails(agent, &input);
        assert_eq!(error.kind, kind, "{agent} {input}");
        assert!(error.message.contains(says), "{agent}: {}", error.message);
        assert!(!error.message.contains("SECRET"));
    }
}

/// Texts that break naive text code.
fn odd_texts() -> Vec<String> {
    vec![
        String::new(),
        "\0".into(),
        "a\0b. \0\0 C\0.".into(),
        "😀".into(),
        "👩‍👩‍👧‍👦 e\u{301}. 🇩🇪! ‏שלום. 模型。".into(),
        "\u{feff}\u{2028}\u{a0}.".into(),
        "no. ".repeat(250_000),
        "x".repeat(1_000_000),
        "é😀".repeat(200_000),
        "5, ".repeat(300_000),
        "The quick model runs. ".repeat(45_000),
        "(".repeat(100_000) + &")".repeat(100_000),
        "[EMAIL] ".repeat(10_000),
        "not ".repeat(100_000),
    ]
}

#[test]
fn odd_texts_give_a_result_or_a_clear_error() {
    for odd in odd_texts() {
        for (agent, input) in [
            ("bitnet.summarizer", json!({"text": odd})),
            ("bitnet.summarizer", json!({"text": odd, "max_sentences": 100, "max_chars": 7})),
            ("bitnet.claimcheck", json!({"claim": "Models run 5 times", "text": odd, "kb": [odd]})),
            ("bitnet.claimcheck", json!({"claim": odd, "text": "Models run."})),
            ("bitnet.synthesis", json!({"text": odd, "pieces": [odd, "piece", odd]})),
            (
                "bitnet.synthesis",
                json!({"text": odd, "claim": odd, "verdict": odd, "key_phrases": [odd]}),
            ),
            ("bitnet.embed", json!({"texts": [odd]})),
            ("tools.retriever", json!({"query": odd})),
            ("bitnet.generate", json!({"prompt": odd})),
        ] {
            let first = Run::default().agent(agent, &input);
            if let Err(error) = &first {
                assert!(
                    ["InvalidInput", "NoModel"].contains(&error.kind.as_str()),
                    "{agent}: {error}"
                );
            }
            if odd.len() < 1000 {
                assert_eq!(first, Run::default().agent(agent, &input), "{agent} is deterministic");
            }
        }
    }
}

#[test]
fn a_stopped_token_stops_every_agent() {
    let stopped = Run::default();
    stopped.cancel.cancel();
    let input =
        json!({"text": "A b c.", "claim": "a", "query": "q", "prompt": "p", "pieces": ["a"]});
    for name in AgentRegistry::builtin().names() {
        let error = stopped.agent(name, &input).unwrap_err();
        assert!(error.is_cancelled(), "{name}: {error}");
    }
}

#[test]
fn a_deadline_stops_long_texts_soon() {
    let long =
        "The quick model runs over lazy word lists number one. Or not so 7? ".repeat(150_000);
    for (agent, input) in [
        ("bitnet.summarizer", json!({"text": long})),
        ("bitnet.claimcheck", json!({"claim": "a", "text": long})),
    ] {
        let cancel = CancelToken::new().child(Some(std::time::Duration::from_millis(20)));
        let at = std::time::Instant::now();
        let error = Run { cancel, ..Run::default() }.agent(agent, &input).unwrap_err();
        assert!(error.is_cancelled(), "{error}");
        assert!(at.elapsed().as_millis() < 1500, "{agent}: {:?}", at.elapsed());
    }
}

#[test]
fn a_claim_too_long_to_be_one_is_read_in_part() {
    let words: String = (0..200_000).map(|i| format!("large{i} ")).collect();
    let text: String =
        (0..100).map(|i| format!("Small{i} {}. ", "word small ".repeat(50))).collect();
    let at = std::time::Instant::now();
    let result = run("bitnet.claimcheck", &json!({"claim": words, "text": text}));
    assert!(result["note"].as_str().unwrap().contains("first 2048 bytes"));
    assert!(at.elapsed().as_secs() < 10, "{:?}", at.elapsed());
}

#[test]
fn a_failing_model_is_the_agents_error() {
    let broken = Run { reasoner: &Broken, ..Run::default() };
    for (agent, input) in [
        ("bitnet.summarizer", json!({"text": "A model failed today."})),
        ("bitnet.claimcheck", json!({"claim": "a model", "text": "A model failed today."})),
        ("bitnet.embed", json!({"text": "a"})),
    ] {
        let error = broken.agent(agent, &input).unwrap_err();
        assert_eq!(error.kind, "Model", "{agent}");
    }
}
