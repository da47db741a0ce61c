// SPDX-License-Identifier: AGPL-3.0-or-later
//! The agents on the bundled encoder: what a user reads. Of a model's scores only the verdicts and
//! the words are checked, which no rounding on another machine turns.

mod agent_support;

use agent_support::{bundled, context, run_agent};
use bho_engine::{CancelToken, Compute};
use bho_models::{ModelStore, load_encoder};
use bho_orchestrator::agents::Fields;
use bho_orchestrator::binding::NodeView;
use bho_orchestrator::merge::merge;
use bho_orchestrator::reasoner::{EncoderReasoner, Reasoner};
use serde_json::{Value, json};

fn run(agent: &str, input: &Fields) -> Fields {
    run_agent(agent, input, &context(bundled(), &CancelToken::new())).unwrap()
}

fn fields(value: &Value) -> Fields {
    value.as_object().unwrap().clone()
}

fn text(result: &Fields) -> &str {
    result["text"].as_str().unwrap()
}

fn check(claim: &str, evidence: &str) -> Fields {
    run("bitnet.claimcheck", &fields(&json!({"claim": claim, "text": evidence})))
}

const SOURCE: &str = "Contact me at [EMAIL]. BitNet b1.58 is efficient: it stores every weight as \
    -1, 0 or +1, about 1.58 bits each, and reaches the quality of full-precision models of the \
    same size. TinyBERT is a small encoder distilled from BERT that works well for text \
    classification. Call [PHONE] for the slides.";

#[test]
fn the_short_example_gives_a_whole_brief() {
    let source = fields(&json!({"text": SOURCE}));
    let parse = run("bitnet.summarizer", &source);
    let check = |claim: &str| {
        let parent = NodeView { fields: &parse, absent: None };
        let params = fields(&json!({"claim": claim}));
        run("bitnet.claimcheck", &merge(&source, [("parse", parent)], &params))
    };
    let claim1 = check("BitNet uses 1.58-bit weights");
    let claim2 = check("TinyBERT is effective for classification");
    let views = [("claim1", &claim1), ("claim2", &claim2)]
        .map(|(id, fields)| (id, NodeView { fields, absent: None }));
    let brief = run("bitnet.synthesis", &merge(&source, views, &Fields::new()));
    let lines: Vec<&str> = text(&brief).lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("BitNet b1.58") && lines[0].ends_with("classification."));
    assert!(lines[1].starts_with("- Supported (0."), "{}", lines[1]);
    assert!(lines[2].contains("\"TinyBERT is effective for classification\""), "{}", lines[2]);
    let nodes: Vec<&Value> =
        brief["sources"].as_array().unwrap().iter().map(|s| &s["node"]).collect();
    assert_eq!(nodes, ["parse", "claim1", "claim2"]);
}

#[test]
fn a_summary_leaves_out_headings_and_says_who_speaks() {
    let article = "# Write-ahead logging\n\nA database with a write-ahead log appends every change \
        to the log before it touches the data pages. If the process crashes, the log is replayed \
        from the last checkpoint.\n\nCheckpoints\n\nA checkpoint copies the changed pages into the \
        main file.\n\n- Readers do not block writers in this mode";
    let summary = run("bitnet.summarizer", &fields(&json!({"text": article, "max_sentences": 9})));
    assert!(text(&summary).starts_with("A database with"), "{}", text(&summary));
    assert!(!text(&summary).contains("Checkpoints"));
    assert!(text(&summary).ends_with("in this mode."), "{}", text(&summary));

    let dialogue = "User: My order of a blue kettle has not arrived.\nAssistant: Sorry about \
        that. The parcel was returned to the depot because the address was incomplete.\n\
        User: The flat number is missing, it should be flat 12 in that street.\n\
        Assistant: Thanks. The carrier will deliver the kettle again on Saturday morning.";
    let input = json!({"text": dialogue, "max_sentences": 9});
    assert_eq!(
        text(&run("bitnet.summarizer", &fields(&input))),
        "User: My order of a blue kettle has not arrived. Assistant: The parcel was returned to \
         the depot because the address was incomplete. User: The flat number is missing, it \
         should be flat 12 in that street. Assistant: The carrier will deliver the kettle again \
         on Saturday morning."
    );
}

#[test]
fn verdicts_on_plain_statements() {
    let pages = "Checkpoints run when the log reaches 1000 pages, about 4 MB by default.";
    for (claim, evidence, verdict) in [
        ("Schools stay open on Wednesday", "Schools will stay closed on Wednesday.", "refuted"),
        ("Writers block readers", "Writers do not block readers.", "refuted"),
        ("Writers do not block readers", "Writers do not block readers.", "supported"),
        ("The address was incomplete", "It came back as the address was incomplete.", "supported"),
        ("The moon is made of cheese", "Schools will stay closed on Wednesday.", "uncertain"),
        // The same by a denial.
        (
            "A second delivery is free",
            "The carrier doesn't charge for a second delivery.",
            "supported",
        ),
    ] {
        assert_eq!(check(claim, evidence)["verdict"], verdict, "{claim}");
    }
    assert_ne!(check("A checkpoint runs every 500 pages", pages)["verdict"], "supported");
}

#[test]
fn the_encoder_embeds_a_text_alike_alone_and_beside_others() {
    assert_eq!(bundled().models()[0].name, "bitnet-s-1.58b");
    let cancel = CancelToken::new();
    let alone = bundled().embed(&["Rain fell all night."], &cancel).unwrap();
    let source = ModelStore::bundled().unwrap().resolve("bitnet-s-1.58b").unwrap();
    let fresh = EncoderReasoner::new(load_encoder(&source, &Compute::new(1).unwrap()).unwrap());
    let beside = fresh.embed(&["A longer sentence beside it.", "Rain fell all night."], &cancel);
    assert_eq!(alone[0].vector, beside.unwrap()[1].vector);
}
