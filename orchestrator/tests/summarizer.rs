// SPDX-License-Identifier: AGPL-3.0-or-later
//! The summarizer: its parameters and bounds on an encoder that hashes words, and on the bundled
//! encoder what it makes of news, a dialogue, a paper, a manual and other languages.

mod agent_support;

use std::sync::atomic::{AtomicUsize, Ordering};

use agent_support::{bundled, context, hashed, run_agent};
use bho_engine::{CancelToken, Embedding, EngineError, ModelInfo};
use bho_orchestrator::agents::summarizer::{Rated, feature_names, rate};
use bho_orchestrator::agents::{AgentError, Fields};
use bho_orchestrator::reasoner::Reasoner;
use serde_json::{Value, json};

/// A bag of hashed content words, L2-normalised; counts its calls and texts.
#[derive(Default)]
struct Hashed {
    calls: AtomicUsize,
    texts: AtomicUsize,
}

impl Reasoner for Hashed {
    fn models(&self) -> Vec<ModelInfo> {
        Vec::new()
    }

    fn embed(&self, texts: &[&str], cancel: &CancelToken) -> Result<Vec<Embedding>, EngineError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.texts.fetch_add(texts.len(), Ordering::Relaxed);
        hashed(texts, cancel)
    }
}

fn run(reasoner: &dyn Reasoner, input: &Value) -> Result<Fields, AgentError> {
    run_agent(
        "bitnet.summarizer",
        input.as_object().expect("fields"),
        &context(reasoner, &CancelToken::new()),
    )
}

fn rated(text: &str) -> Vec<Rated> {
    rate(text, None, &context(&Hashed::default(), &CancelToken::new())).expect("rated")
}

fn text(result: &Fields) -> &str {
    result["text"].as_str().expect("text")
}

/// The summary of `text` by the bundled encoder; every span must give its sentence.
fn summary(text: &str, max_sentences: usize) -> String {
    let input = json!({"text": text, "max_sentences": max_sentences, "style": "bullets"});
    let result = run(bundled(), &input).expect("a summary");
    for sentence in result["sentences"].as_array().unwrap() {
        let at = |i: usize| usize::try_from(sentence["span"][i].as_u64().unwrap()).unwrap();
        assert_eq!(&text[at(0)..at(1)], sentence["text"].as_str().unwrap());
    }
    self::text(&result).to_owned()
}

const ARTICLE: &str = "BitNet b1.58 stores every weight as -1, 0 or +1 and reaches the quality of \
    full-precision models. TinyBERT is a small encoder distilled from BERT for text \
    classification. Small models with ternary weights run on small computers.";

#[test]
fn key_phrases_are_as_many_as_asked_for() {
    let phrases = |value: Value| {
        let result = run(&Hashed::default(), &json!({"text": ARTICLE, "key_phrases": value}))?;
        Ok::<usize, AgentError>(result["key_phrases"].as_array().unwrap().len())
    };
    assert_eq!(phrases(json!(0)), Ok(0));
    assert_eq!(phrases(json!(3)), Ok(3));
    // What another summary found is handed on under this name by a merge.
    assert_eq!(phrases(json!(["a", "b"])), phrases(Value::Null));
    for wrong in [json!(33), json!(-1), json!(1.5), json!("3"), json!(true)] {
        let error = phrases(wrong.clone()).unwrap_err();
        assert_eq!(error.kind, "InvalidInput", "{wrong}");
        assert!(error.message.contains("0..=32"), "{error}");
    }
}

#[test]
fn one_call_embeds_a_bounded_number_of_texts() {
    let reasoner = Hashed::default();
    let long: String =
        (0..3000).map(|i| format!("Model{i} of lab{i} weighs about part{i} grams. ")).collect();
    let result = run(&reasoner, &json!({"text": long, "title": "Weights", "key_phrases": 32}));
    let result = result.unwrap();
    assert_eq!(reasoner.calls.load(Ordering::Relaxed), 1);
    assert!(reasoner.texts.load(Ordering::Relaxed) <= 64 + 1 + 3 * 32);
    assert_eq!(result["coverage"]["compared"], 64);
    assert!(result["note"].as_str().unwrap().contains("64 of 3000 distinct sentences"));
    // The first sentence is among those compared, whatever its words.
    assert_eq!(rated(&format!("Zebra quagga okapi. {long}"))[0].span, 0..19);
}

#[test]
fn features_are_finite_and_named() {
    for text in [ARTICLE, "One two three.", "a. b. c.", "模型。模型。", "# T\n\n# U\n\n```\nx\n```"]
    {
        for sentence in rated(text) {
            assert_eq!(sentence.features.len(), feature_names().len());
            assert!(sentence.features.iter().all(|f| f.is_finite() && f.abs() <= 9.0), "{text}");
            assert!(sentence.logit.is_finite());
        }
    }
}

#[test]
fn place_counts_in_prose_but_not_in_a_dialogue() {
    let lines = [
        "the kettle arrived broken last Tuesday",
        "the courier dropped the parcel twice",
        "a new kettle leaves the depot tomorrow",
        "the refund covers the delivery fee",
    ];
    let prose: String = lines.iter().map(|l| format!("{l}. ")).collect();
    let places: Vec<f64> = rated(&prose).iter().map(|r| r.by_hand).collect();
    assert!(places.windows(2).all(|w| w[0] > w[1]), "{places:?}");
    for names in [["Anna", "Bob"], ["anna", "bob"], ["Agent 1", "Agent 2"]] {
        let turn = |(i, l): (usize, &&str)| format!("{}: {l}\n", names[i % 2]);
        let chat: String = lines.iter().enumerate().map(turn).collect();
        let places: Vec<f64> = rated(&chat).iter().map(|r| r.by_hand).collect();
        assert_eq!(places, [0.0; 4], "{chat}");
    }
}

#[test]
fn code_and_tables_are_left_out_while_there_is_prose() {
    let manual = "Run the converter once before the first start.\n\n```sh\nbho convert weights model \
        output format\n```\n\n| flag | meaning of flag |\n|---|---|\n| name | a name for models |\n";
    let result = run(&Hashed::default(), &json!({"text": manual, "max_sentences": 9})).unwrap();
    assert_eq!(text(&result), "Run the converter once before the first start.");
    let code = run(&Hashed::default(), &json!({"text": "```\nlet first = second;\n```"})).unwrap();
    assert_eq!(text(&code), "let first = second;");
}

#[test]
fn news_leads_with_the_news() {
    let news = "The city council voted 9 to 4 on Tuesday to close the old harbour bridge to cars \
        from March. The 1931 bridge carries 14,000 vehicles a day and was found to have cracks in \
        three of its bearings last autumn. \u{201C}We had no choice,\u{201D} said Mayor Ellen Brandt after \
        the meeting. Cyclists and pedestrians may still cross. It rained during the session. A \
        replacement, planned for 2031, would cost about 85 million euros. Shop owners on the east \
        bank fear that they will lose customers. Photographs can be ordered from the press office.";
    let short = summary(news, 1);
    assert!(short.contains("voted 9 to 4"), "{short}");
    let longer = summary(news, 3);
    assert!(longer.contains("voted 9 to 4"), "{longer}");
    for trivia in ["rained", "Photographs"] {
        assert!(!longer.contains(trivia), "{longer}");
    }
}

#[test]
fn a_paper_is_told_by_its_contribution() {
    let paper = "Deep networks are used in many fields. Their memory needs have grown quickly in \
        recent years. However, most methods to shrink them lose accuracy. In this paper, we propose \
        a quantization scheme that stores each weight in two bits and trains the network through \
        the rounding. For example, a network of 25 million weights takes 6 MB. The code is available.";
    assert!(summary(paper, 1).contains("we propose a quantization scheme"));
}

#[test]
fn a_dialogue_is_told_by_what_is_settled_and_by_whom() {
    let chat = "[09:01] Mia: Hi there!\n[09:01] Support: Hello, how can I help you today?\n[09:02] Mia: \
        My new router drops the connection every evening around eight.\n[09:03] Support: Could you tell \
        me which lights are on?\n[09:05] Mia: The second one is red.\n[09:06] Support: The red light means \
        that the firmware update of the router failed, so we will send you a new router by Thursday.\n\
        [09:07] Mia: Great, thanks!\n";
    let short = summary(chat, 2);
    assert!(short.contains("Support: The red light means"), "{short}");
    assert!(!short.contains("09:0") && !short.contains("how can I help"), "{short}");
}

#[test]
fn a_manual_is_told_by_its_prose() {
    let manual = "# Log rotation\n\nThe server rotates its log when the file reaches 10 MB and keeps the \
        last five files.\n\n## Configuration\n\n- `max_size`: the size at which a file is rotated\n- \
        `keep`: how many old files are kept\n\n```toml\n[log]\nmax_size = \"10MB\"\nkeep = 5\n```\n\nSee also: \
        the chapter on monitoring.\n\nRotation needs no restart: the server closes the old file and \
        opens a new one between two requests.";
    let short = summary(manual, 2);
    assert!(short.contains("rotates its log") && short.contains("no restart"), "{short}");
}

#[test]
fn summaries_in_other_languages_are_whole_sentences() {
    let german = "Am 3. Oktober beschloss der Rat, z. B. die Brücke zu sperren. Die Brücke ist ca. 90 \
        Jahre alt und hat Risse in den Lagern. Es regnete. Dr. Brandt nannte die Sperrung der Brücke nötig.";
    assert!(summary(german, 1).starts_with("- Am 3. Oktober beschloss der Rat, z. B. die Brücke"));
    let result = run(bundled(), &json!({"text": german})).unwrap();
    let phrases: Vec<&str> =
        result["key_phrases"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(phrases.iter().any(|p| p.contains("Brücke")), "{phrases:?}");
    assert!(phrases.iter().all(|p| !p.split(' ').any(|w| ["die", "der", "und"].contains(&w))));
    let chinese =
        "市议会周二决定关闭旧桥。桥上有裂缝，很危险。新桥要到二〇三一年才能建成。下雨了。";
    let short = summary(chinese, 1);
    assert!(short.ends_with('。') && short.matches('。').count() == 1, "{short}");
}
