// SPDX-License-Identifier: AGPL-3.0-or-later
//! The reports of the tasks, laid out.

use super::sheet::{Grid, Section, Sheet};
use super::{charts, difference, estimate, task_charts};
use crate::eval::paired::{Named, System};
use crate::eval::rouge::KINDS;
use crate::eval::tasks::claims::{self, Class};
use crate::eval::tasks::{retrieval, similarity, summary};

/// How ROUGE's kinds are headed, in the order of [`KINDS`].
const ROUGE_TITLES: [&str; KINDS.len()] =
    ["ROUGE-1 F1", "ROUGE-2 F1", "ROUGE-L F1", "ROUGE-Lsum F1"];

/// `bho eval summary`.
pub(crate) fn summaries(report: &summary::Report) -> Sheet<'_> {
    let keys: Vec<String> = KINDS.iter().map(|kind| format!("{kind}_f1")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let words = if report.setting.stemmed { "stemmed words" } else { "words as they are" };
    let length = crate::output::count(report.setting.sentences, "sentence");
    let about = format!("{} texts, {length} each, {words}", report.texts);
    let headings = |first: &'static str| [&[first][..], &ROUGE_TITLES[..], &["words"][..]].concat();
    let rows = report.systems.iter().map(|system| {
        let mut row = row(&system.name, &system.figures, &keys, estimate);
        let words = system.figures.get("words").value;
        row.push(words.map_or_else(|| "–".to_owned(), |words| format!("{words:.1}")));
        row
    });
    let systems = Grid { headings: headings("F1"), rows: rows.collect() };
    let away = [&["agent minus"][..], &ROUGE_TITLES[..]].concat();
    let picture = |key: &str, title| {
        (title, "with intervals".to_owned(), task_charts::systems(&report.systems, key, title))
    };
    let mut sections = vec![Section {
        title: "Overlap with references".to_owned(),
        about: format!("{about}; of several references the one met best"),
        tables: vec![systems, Grid { headings: away, rows: differences(&report.systems, &keys) }],
        pictures: vec![picture("rouge1_f1", "ROUGE-1"), picture("rougeL_f1", "ROUGE-L")],
    }];
    let groups = report.groups.iter().flat_map(|group| {
        group.systems.iter().map(|system| {
            let name = format!("{} ({}), {}", group.group, group.texts, system.name);
            row(&name, &system.figures, &keys, estimate)
        })
    });
    let headings = [&["group"][..], &ROUGE_TITLES[..]].concat();
    sections.extend(by_group(headings, groups.collect()));
    let tile = |i: usize, title: &str| {
        report.systems.get(i).map(|s| (format!("{}: {title}", s.name), s.figures.get("rougeL_f1")))
    };
    let tiles = (0..report.systems.len()).filter_map(|i| tile(i, "ROUGE-L F1"));
    Sheet {
        title: "Summaries",
        about,
        head: &report.head,
        task: "summary",
        tiles: tiles.collect(),
        sections,
        cases: &report.mistakes,
        about_cases: "Texts on which a baseline meets its reference best beside the agent, by ROUGE-L: the summary, and \
                      the first reference.",
    }
}

/// What the figures of claims are called.
const CLAIM_FIGURES: [(&str, &str); 13] = [
    ("accuracy", "accuracy of the verdicts"),
    ("macro_f1", "macro F1 over the labels of the data"),
    ("answered", "answered: share with a verdict that counts"),
    ("accuracy_answered", "accuracy of those"),
    ("accuracy_at_60", "accuracy of the surest 60 %"),
    ("accuracy_at_80", "accuracy of the surest 80 %"),
    ("accuracy_at_100", "accuracy of all, forced where there was no answer"),
    ("risk_coverage_area", "area under risk over coverage (lower is better)"),
    ("ece", "calibration error (ECE, 15 bins)"),
    ("brier", "Brier score of being right"),
    ("auc", "AUC of the score for being right"),
    ("majority_accuracy", "always the commonest label"),
    (claims::OVER_MAJORITY, "accuracy of all minus that"),
];

/// `bho eval claims`.
pub(crate) fn claims(report: &claims::Report) -> Sheet<'_> {
    let measured = &report.measured;
    let three = if report.uncertain_is_labelled {
        "`uncertain` is a label"
    } else {
        "no claim is labelled `uncertain`, so that verdict is no answer"
    };
    let about = format!("{} claims; {three}", report.claims);
    let rows = CLAIM_FIGURES.iter().map(|(key, title)| {
        let figure = measured.figures.get(key);
        let shown =
            if *key == claims::OVER_MAJORITY { difference(&figure) } else { estimate(&figure) };
        vec![(*title).to_owned(), shown]
    });
    let overall = Grid { headings: vec!["figure", "value"], rows: rows.collect() };
    let rows = measured.classes.iter().filter(|c| c.labelled + c.called > 0).map(|class| {
        let mut row = vec![class.class.name().to_owned()];
        row.extend([class.labelled, class.called].map(|n| n.to_string()));
        row.extend(["precision", "recall", "f1"].map(|key| estimate(&class.figures.get(key))));
        row
    });
    let headings = vec!["label", ">labelled", ">called", "precision", "recall", "F1"];
    let classes = Grid { headings, rows: rows.collect() };
    let verdicts = Class::ALL.map(Class::name);
    let confusion = Class::ALL.iter().zip(&measured.confusion);
    let rows = confusion.clone().map(|(label, counts)| {
        let counts = counts.iter().map(ToString::to_string);
        std::iter::once(label.name().to_owned()).chain(counts).collect::<Vec<String>>()
    });
    let headings = vec!["label \\ verdict", ">supports", ">refutes", ">uncertain"];
    let counts = Grid { headings, rows: rows.collect() };
    let cells = charts::cells(
        "label \\ verdict",
        &verdicts,
        confusion.map(|(label, counts)| (label.name(), counts.as_slice())),
    );
    let ece = measured.figures.get("ece").value;
    let pictures = vec![
        (
            "Accuracy over coverage",
            "dots at 60, 80 and 100 %".to_owned(),
            task_charts::coverage(&measured.coverage, &measured.figures),
        ),
        (
            "Reliability",
            "on the diagonal, scores are probabilities".to_owned(),
            charts::reliability(&measured.reliability, "right verdicts", ece),
        ),
        ("Verdicts by label", String::new(), cells),
    ];
    let mut sections = vec![Section {
        title: "Verdicts".to_owned(),
        about: about.clone(),
        tables: vec![overall, classes, counts],
        pictures,
    }];
    let keys = [
        "accuracy",
        "macro_f1",
        "answered",
        "accuracy_answered",
        "accuracy_at_60",
        "accuracy_at_100",
    ];
    let rows = report.groups.iter().map(|group| {
        row(&format!("{} ({})", group.group, group.claims), &group.figures, &keys, estimate)
    });
    let headings = vec![
        "group",
        "accuracy",
        "macro F1",
        "answered",
        "right of those",
        "surest 60 %",
        "all, forced",
    ];
    sections.extend(by_group(headings, rows.collect()));
    let tile = |(key, title): (&str, &str)| (title.to_owned(), measured.figures.get(key));
    let tiles = [
        ("accuracy", "accuracy"),
        ("macro_f1", "macro F1"),
        ("accuracy_at_60", "accuracy of the surest 60 %"),
        ("accuracy_at_100", "accuracy of all, forced"),
        ("ece", "calibration error"),
    ];
    Sheet {
        title: "Claim checks",
        about,
        head: &report.head,
        task: "claim check",
        tiles: tiles.into_iter().map(tile).collect(),
        sections,
        cases: &report.mistakes,
        about_cases: "Wrong verdicts, the surest first: the claim, and the first piece of its evidence.",
    }
}

/// `bho eval retrieval`.
pub(crate) fn retrieval(report: &retrieval::Report) -> Sheet<'_> {
    let titles = ["R@1", "R@5", "R@10", "MRR", "nDCG@10"];
    let keys = retrieval::FIGURES;
    let own = match report.own_documents {
        0 => String::new(),
        n => format!(", {n} of single queries"),
    };
    let about = format!("{} queries, {} common documents{own}", report.queries, report.documents);
    let rows = report.systems.iter().map(|s| row(&s.name, &s.figures, &keys, estimate));
    let systems = Grid { headings: [&[""][..], &titles[..]].concat(), rows: rows.collect() };
    let away = [&["embeddings minus"][..], &titles[..]].concat();
    let away = Grid { headings: away, rows: differences(&report.systems, &keys) };
    let picture = |key: &str, title| {
        (title, "with intervals".to_owned(), task_charts::systems(&report.systems, key, title))
    };
    let mut sections = vec![Section {
        title: "What was found".to_owned(),
        about: about.clone(),
        tables: vec![systems, away],
        pictures: vec![picture("recall_at_1", "R@1"), picture("ndcg_at_10", "nDCG@10")],
    }];
    let groups = report.groups.iter().flat_map(|group| {
        group.systems.iter().map(|system| {
            let name = format!("{} ({}), {}", group.group, group.queries, system.name);
            row(&name, &system.figures, &keys, estimate)
        })
    });
    sections.extend(by_group([&["group"][..], &titles[..]].concat(), groups.collect()));
    let first = report.systems.first();
    let tiles = first.into_iter().flat_map(|system| {
        keys.iter().zip(titles).map(|(key, title)| (title.to_owned(), system.figures.get(key)))
    });
    Sheet {
        title: "Retrieval",
        about,
        head: &report.head,
        task: "query",
        tiles: tiles.collect(),
        sections,
        cases: &report.mistakes,
        about_cases: "Queries whose first relevant document comes last.",
    }
}

/// `bho eval similarity`.
pub(crate) fn similarity(report: &similarity::Report) -> Sheet<'_> {
    let about = format!("{} pairs; cosine of embeddings against scores of people", report.pairs);
    let keys = similarity::FIGURES;
    let figure = |key: &str| report.figures.get(key);
    let rows = vec![
        vec!["embeddings".to_owned(), estimate(&figure(keys[0])), estimate(&figure(keys[1]))],
        vec!["shared words".to_owned(), estimate(&figure(keys[2])), estimate(&figure(keys[3]))],
        vec!["difference".to_owned(), difference(&figure(keys[4])), difference(&figure(keys[5]))],
    ];
    let table = Grid { headings: vec!["", "Spearman", "Pearson"], rows };
    let picture = task_charts::scatter(&report.points, &report.figures);
    let mut sections = vec![Section {
        title: "Correlation".to_owned(),
        about: about.clone(),
        tables: vec![table],
        pictures: vec![("Pairs", "each a dot".to_owned(), picture)],
    }];
    let rows = report.groups.iter().map(|group| {
        row(&format!("{} ({})", group.group, group.pairs), &group.figures, &keys[..4], estimate)
    });
    let headings =
        vec!["group", "Spearman", "Pearson", "Spearman, shared words", "Pearson, shared words"];
    sections.extend(by_group(headings, rows.collect()));
    Sheet {
        title: "Similarity",
        about,
        head: &report.head,
        task: "pair",
        tiles: vec![
            ("Spearman".to_owned(), figure("spearman")),
            ("Pearson".to_owned(), figure("pearson")),
            ("Spearman of shared words".to_owned(), figure("words_spearman")),
        ],
        sections,
        cases: &report.mistakes,
        about_cases: "Pairs whose cosine stands furthest from where people put them, by rank.",
    }
}

/// A row of figures under a name.
fn row(
    name: &str,
    figures: &Named,
    keys: &[&str],
    show: impl Fn(&crate::eval::bootstrap::Estimate) -> String,
) -> Vec<String> {
    let cells = keys.iter().map(|key| show(&figures.get(key)));
    std::iter::once(name.to_owned()).chain(cells).collect()
}

/// How far the first system is from each other.
fn differences(systems: &[System], keys: &[&str]) -> Vec<Vec<String>> {
    let away = systems.iter().filter_map(|system| {
        Some(row(&system.name, system.first_minus_this.as_ref()?, keys, difference))
    });
    away.collect()
}

/// The section of the groups, where there are any.
fn by_group(headings: Vec<&'static str>, rows: Vec<Vec<String>>) -> Option<Section> {
    (!rows.is_empty()).then(|| Section {
        title: "By group".to_owned(),
        about: "each group by itself".to_owned(),
        tables: vec![Grid { headings, rows }],
        pictures: Vec::new(),
    })
}
