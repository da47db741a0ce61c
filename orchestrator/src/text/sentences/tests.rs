// SPDX-License-Identifier: AGPL-3.0-or-later

use super::stops::MAX_RUN;
use super::*;

fn split(text: &str) -> Vec<&str> {
    sentences(text).map(|r| &text[r]).collect()
}

#[test]
fn abbreviations_do_not_end_a_sentence() {
    for whole in [
        "Dr. Smith and Mr. Jones met Prof. Lee at St. Mary's.",
        "See Fig. 3 and Eq. 4, e.g. the left one, i.e. the first.",
        "The U.S. Senate met at 5 p.m. Eastern time.",
        "J. R. R. Tolkien and George W. Bush never met.",
        "It costs approx. five dollars vs. six.",
        "See No. 5, vol. 3, pp. 12 of Smith et al. Nature.",
        "Acme Inc. Holdings bought it in Jan. 2024 for $3.5M.",
    ] {
        assert_eq!(split(whole), [whole]);
    }
}

#[test]
fn abbreviations_end_one_before_a_function_word() {
    assert_eq!(split("He lives in the U.S. The end."), ["He lives in the U.S.", "The end."]);
    assert_eq!(split("He sold Acme Inc. It was big."), ["He sold Acme Inc.", "It was big."]);
    assert_eq!(split("He said no. Then he left."), ["He said no.", "Then he left."]);
    assert_eq!(split("Pens, ink, etc. Paper too."), ["Pens, ink, etc.", "Paper too."]);
    assert_eq!(split("So did I. Nobody saw."), ["So did I.", "Nobody saw."]);
}

#[test]
fn numbers_addresses_and_marks_stay_whole() {
    assert_eq!(
        split("BitNet b1.58 uses 1.58 bits. See https://a.example/x.y?z=1! Or not."),
        ["BitNet b1.58 uses 1.58 bits.", "See https://a.example/x.y?z=1!", "Or not."]
    );
    assert_eq!(
        split("Contact me at test@example.com. Write to [EMAIL]. [PHONE] works. Ok v2.0.1?"),
        ["Contact me at test@example.com.", "Write to [EMAIL].", "[PHONE] works.", "Ok v2.0.1?"]
    );
    assert_eq!(split("Call fmt.Println or node.js today."), ["Call fmt.Println or node.js today."]);
}

#[test]
fn ellipses_quotes_and_brackets() {
    assert_eq!(split("Well... maybe. Well... Then go."), ["Well... maybe.", "Well...", "Then go."]);
    assert_eq!(
        split("He said \"Go.\" Then (so.) They left."),
        ["He said \"Go.\"", "Then (so.)", "They left."]
    );
    assert_eq!(split("“Really?” he asked. «Oui!» Non."), ["“Really?” he asked.", "«Oui!»", "Non."]);
    assert_eq!(split("A fact.[12] Another one."), ["A fact.[12]", "Another one."]);
    assert_eq!(split("What?! No... Yes…"), ["What?!", "No...", "Yes…"]);
    assert_eq!(
        split("it works. it is fast. ok? sure"),
        ["it works.", "it is fast.", "ok?", "sure"]
    );
    assert_eq!(split("It was good.The plot was not."), ["It was good.", "The plot was not."]);
    assert_eq!(split("Two women sit . They talk ."), ["Two women sit .", "They talk ."]);
}

#[test]
fn lines_lists_headings_and_code() {
    let text = "# Title\nA first line that is long enough to be wrapped softly\nand goes on here. Next.\n\n- one\n- two parts. Of it\n1. three\n2) four\n---\nShort head\nBody text.\n```rust\nlet x = a.b; foo. Bar\n```\nAfter.";
    assert_eq!(
        split(text),
        [
            "Title",
            "A first line that is long enough to be wrapped softly\nand goes on here.",
            "Next.",
            "one",
            "two parts.",
            "Of it",
            "three",
            "four",
            "Short head",
            "Body text.",
            "let x = a.b; foo. Bar",
            "After."
        ]
    );
    assert_eq!(
        split("User: hi there\r\nAssistant: hello."),
        ["User: hi there", "Assistant: hello."]
    );
}

#[test]
fn other_scripts() {
    assert_eq!(
        split("これは。「はい。」次です！模型很小。"),
        ["これは。", "「はい。」", "次です！", "模型很小。"]
    );
    assert_eq!(split("यह एक है। दूसरा।"), ["यह एक है।", "दूसरा।"]);
    assert_eq!(split("Été. Élan vital."), ["Été.", "Élan vital."]);
    assert_eq!(split("Go 😀! Now 🎉. 😀"), ["Go 😀!", "Now 🎉.", "😀"]);
}

#[test]
fn nothing_and_noise() {
    assert!(split("").is_empty());
    assert!(split(" \n\t\r\n ... \n---\n!!!").is_empty());
    assert_eq!(split("\0a\0. B"), ["\0a\0.", "B"]);
    assert_eq!(split("no stop at all"), ["no stop at all"]);
}

#[test]
fn overlong_sentences_are_cut_at_clauses_then_spaces() {
    let clause = "word ".repeat(80);
    let text = format!("{clause}; {clause}, {clause}");
    let parts = split(&text);
    assert!(parts[0].ends_with(';'), "{parts:?}");
    assert!(parts.iter().all(|p| p.len() <= MAX_SENTENCE_BYTES));
    let joined: String = parts.concat().split_whitespace().collect();
    assert_eq!(joined, text.split_whitespace().collect::<String>());
    for text in
        [".".repeat(5000), "a\u{3002}".to_owned() + &"\u{3002}".repeat(5000), "a\"".repeat(5000)]
    {
        assert!(split(&text).iter().all(|p| p.len() <= MAX_SENTENCE_BYTES + 6 * MAX_RUN));
    }
    for text in ["x".repeat(5000), "é".repeat(5000), "模".repeat(5000)] {
        assert_eq!(split(&text).concat(), text);
    }
}

fn headings(text: &str) -> Vec<&str> {
    sentences(text).filter(|s| is_heading(text, s)).map(|s| &text[s]).collect()
}

#[test]
fn headings_stand_alone_without_a_stop() {
    let text = "# Write-ahead logging\n\nA log is kept. It is short\n\nSetup\n=====\nRun it.\n\n  \
        Limits of it\n\n- one thing\n\nIs it fast?\n\n**Notes**\n\nThe last line";
    assert_eq!(headings(text), ["Write-ahead logging", "Setup", "Limits of it", "**Notes**"]);
    let long = "one two three four five six seven eight nine ten eleven twelve thirteen";
    assert!(headings(&format!("{long}\n\nThen.")).is_empty());
    assert_eq!(headings(&format!("## {long}\nThen.")), [long]);
    assert!(headings("Soft\nwraps go on\nand on. Here\u{e9} too\n").is_empty());
}

#[test]
fn speakers_are_one_capitalised_word() {
    assert_eq!(speaker("User: hi"), Some("User"));
    for line in ["user: hi", "User hi", "User:hi", "The user: hi", "U: hi", ": hi", "", "User:"] {
        assert_eq!(speaker(line), None, "{line}");
    }
}

#[test]
fn ranges_are_ordered_trimmed_and_whole() {
    let text = "A é. B\u{a0}ü! «C»?\n\n  * D 😀…  E.\u{2028}F. \u{3000}G";
    let mut last = 0;
    for range in sentences(text) {
        assert!(range.start >= last && range.end > range.start);
        assert_eq!(text[range.clone()].trim(), &text[range.clone()]);
        last = range.end;
    }
}

/// Ten megabytes of shapes that would be quadratic if anything looked back or ahead without a
/// bound: the time may not grow faster than the length does (with room for a busy machine).
#[test]
fn time_is_linear_in_the_length() {
    let shapes = [
        "a. b? ",
        "(e.g. x) ",
        "...",
        "a...)))\"",
        "模。。",
        "a.[1][2]",
        ". ((",
        ".)",
        ". \n",
        "Dr.  \t ",
        "模。",
        "[1",
        "\n- a",
        "aaaaaaa",
        ". a",
        "Aa\n",
        "aa bb cc\n",
        "[10:00] a: b\n",
        "~~~~\na\n",
        "    a = b\n",
        "die 5. Der ",
        "\u{201C}. ",
        "1.1.1.1.1 A\n",
        ">>>>>>>> a\n",
    ];
    for shape in shapes {
        let time = |bytes: usize| {
            let text = shape.repeat(bytes / shape.len());
            let at = std::time::Instant::now();
            let n = sentences(&text).filter(|s| !is_heading(&text, s)).count();
            (at.elapsed().as_secs_f64(), n)
        };
        let (small, _) = time(1_250_000);
        let (large, _) = time(10_000_000);
        assert!(
            large < small * 8.0 * 5.0 + 0.5,
            "{shape:?}: {small} s for 1.25 MB, {large} s for 10 MB"
        );
    }
    // Whitespace alone, after a stop that does not end.
    let text = format!("Dr.{}x", " ".repeat(10_000_000));
    assert_eq!(sentences(&text).count(), 2);
}

/// Texts with `|` where a sentence ends; the mark is not part of the text.
fn check(cases: &[&str]) {
    for case in cases {
        let text = case.replace('|', "");
        let parts: Vec<&str> = case.split('|').map(str::trim).collect();
        assert_eq!(split(&text), parts, "{text}");
    }
}

#[test]
fn english() {
    check(&[
        "Mr. and Mrs. Smith left.| Dr. No stayed.",
        "Figs. 2 and 3 (cf. Sec. 4) agree with Lee et al. (2016).| We go on.",
        "It fell to 3.5 from 4,000.75 in Q2.| The rest is noise.",
        "Install v1.2.3-rc.1 or Python 3.| Then run it.",
        "See http://a.example/b.html?q=a.b!c and mail x.y@z.example.| Done.",
        "The C.E.O. resigned on Jan. 5.| Shares fell in Dec.| The board met at 5 p.m. on Friday.",
        "It ran on macOS.| iPhone users waited.| Is that an OS?| It is an OS.| Linux is one too.",
        "He said, \"Stop. Now.\" Then he left."
            .replace(". Now", ".| Now")
            .replace(" Then", "| Then")
            .as_str(),
        "\u{201C}Wait \u{2026} what?\u{201D} she asked.| \u{201C}Yes.\u{201D}| Silence.",
        "Wait... what...| Then nothing.| I mean\u{2026}| Well.",
        "ok so it broke.| no idea why.| the mgmt. said it is fine.| go on",
        "Dept. of Health vs. the State, No. 12, pp. 3-5.| Next.",
        "World War II. was long, they say.| The end.",
        "Plan B.| The other one was J. F. Kennedy's.| Vitamin C.| It helps.",
        "Really?!| Yes!!| No way\u{203D}| Fine.",
        "(He left.) (She stayed.)".replace(") (", ")| (").as_str(),
    ]);
}

#[test]
fn german() {
    check(&[
        "Am 3. Oktober 1990 war die Einheit da.| Das ist der 2. Band, bzw. der letzte.",
        "Im 19. Jahrhundert war das z. B. üblich, d. h. fast überall.| Dr. Müller lebte bis 1920.",
        "Die Hauptstr. 5 ist u. a. wegen Nr. 7 bekannt.| Es ist ca. 5 km weit.| Und nun?",
        "\u{201E}Geh jetzt.\u{201C}| Dann ging er.| »Ja!«| Er blieb.",
        "Er aß Äpfel, Birnen usw.| Danach schlief er am Tisch.| Ludwig XIV. war es nicht.",
        "Wir treffen uns am 5. Mai um 10 Uhr.| Ich bin 5.| Der Rest ist da.",
    ]);
}

#[test]
fn romance_languages_dutch_and_polish() {
    check(&[
        "M. Dupont et Mme. Curie sont là.| Elle parle à 10 h.| C\u{2019}est fini, p. ex. demain.",
        "« Viens ! » dit-il.| L\u{2019}an 52 av. J.-C. fut dur.| Et après ?| Rien.",
        "¿Qué pasa?| ¡Nada!| El Sr. García y la Dra. Ruiz viven en EE. UU.| Los demás no.",
        "Véase la pág. 12, p. ej. el núm. 3.| ¿Está aquí?| Sí.",
        "Il sig. Rossi e la sig.ra Bianchi, cioè il dott. Verdi, pag. 5, ecc.| Poi basta.",
        "O Sr. Silva mora na av. Brasil, n. 5.| Não é longe.| É perto.",
        "Dhr. Jansen en mevr. De Vries, o.a. bijv. d.w.z. samen.| Het is klaar.| Nu weg.",
        "Mieszka przy ul. Długiej 5, m.in. z prof. Nowakiem, tj. sam.| Jest ok. 5 osób itd.| To koniec.",
    ]);
}

#[test]
fn scripts_with_their_own_stops() {
    check(&[
        "今天下雨了。|他说：\u{201C}走吧！\u{201D}|我们走了……然后回来。|真的？！|好。",
        "「はい。」と言った。|次は３．５です。|本当？|うん。",
        "मैं घर गया।|वह आया॥| क्या हुआ?| ठीक है।",
        "ماذا حدث؟|لا شيء.| ذهبنا إلى البيت۔| انتهى!",
        "Ինչ եղավ։| Ոչինչ։",
        "ይህ ነው።|ያ ነው።",
        "Что это?| Ничего.| Он ушёл в 5 ч. и не вернулся.",
    ]);
}

#[test]
fn lines_without_punctuation() {
    // Chat: no line is full, so each is a sentence; also where all begin in lower case.
    assert_eq!(
        split(
            "hey are you coming tonight\nyeah probably around 8\ncan you bring the charger\nsure"
        ),
        [
            "hey are you coming tonight",
            "yeah probably around 8",
            "can you bring the charger",
            "sure"
        ]
    );
    let diary = "I went to the store yesterday and bought some milk and bread\nThe kids were happy \
        about that one\nWe watched a film in the evening until late at night";
    assert_eq!(split(diary).len(), 3);
    // Wrapped at a width: the lines go on, capitals or not.
    let wrapped = "The committee met in the old town hall of\nVienna on a cold Monday and spoke of the\nDanube for hours.\nNobody left before the end of the evening";
    assert_eq!(split(wrapped).len(), 2);
    // One sentence a line, continued in lower case.
    assert_eq!(
        split("All are born free\nand equal in dignity and rights and more.\nThey have reason.")
            .len(),
        2
    );
    assert_eq!(
        split("[10:32] anna: are you there\n[10:33] <bob> yes\n10:34:07 carl: no way, he is not"),
        ["anna: are you there", "<bob> yes", "carl: no way, he is not"]
    );
    assert_eq!(split("anna: hi there, how is it\nbob: fine.").len(), 2);
}

#[test]
fn kinds_of_lines() {
    let kinds = |text: &str| {
        let mut all = sentences(text);
        let mut kinds = Vec::new();
        while let Some(span) = all.next() {
            kinds.push((all.kind(), text[span].to_owned()));
        }
        kinds
    };
    let text = "Title\n~~~~~\n\nSome prose. More.\n\n- [ ] one\n  and on\n\u{2022} two\n\u{2460}three\n> quoted\n\n~~~\nlet a = 1. B\n~~~~\n    x = f();\n| a. B | c |\n$ cargo run. Now\nEnd.";
    use Kind::{Code, Item, Prose, Row};
    let found = kinds(text);
    let expected = [
        (Prose, "Title"),
        (Prose, "Some prose."),
        (Prose, "More."),
        (Item, "one\n  and on"),
        (Item, "two"),
        (Item, "three"),
        (Item, "quoted"),
        (Code, "let a = 1. B"),
        (Code, "x = f();"),
        (Row, "| a. B | c |"),
        (Code, "$ cargo run. Now"),
        (Prose, "End."),
    ];
    assert_eq!(found, expected.map(|(kind, text)| (kind, text.to_owned())));
    assert_eq!(split("I. Einleitung\n\niv) vier\n(b) be\n一、很好").len(), 4);
    assert_eq!(
        split("It is said to cost its owner and the town about\n3.5 million dollars a year.").len(),
        1
    );
}

#[test]
fn turns_of_many_forms() {
    for (line, name, body) in [
        ("User: hi", "User", " hi"),
        ("Anna Smith: hi", "Anna Smith", " hi"),
        ("Dr. Lee: hi", "Dr. Lee", " hi"),
        ("Speaker 2 (00:41): yes", "Speaker 2", " yes"),
        ("**User:** hi", "User", " hi"),
        ("**User**: hi", "User", " hi"),
        ("[10:32] <bob> hi", "bob", "hi"),
        ("[2026-11-22T05:07:02Z] bob: hi", "bob", " hi"),
        ("10:32 - Müller: ja", "Müller", " ja"),
        ("anna: hi", "anna", " hi"),
        ("客服：你好", "客服", "你好"),
        ("agent_7: hi", "agent_7", " hi"),
    ] {
        let found = turn(line).unwrap_or_else(|| panic!("{line}"));
        assert_eq!((found.name, &line[found.body..]), (name, body), "{line}");
        assert!(line[found.at..].starts_with(name), "{line}");
    }
    for line in [
        "",
        ":",
        "http://a.example/b",
        "u: hi",
        "the user: hi",
        "He said this one thing: no",
        "The ratio (see: below) is",
        "10:32",
        "[10:32]",
        "<b>: x",
        "a <b> c",
        "x > y: z",
        "12: no",
    ] {
        assert_eq!(turn(line), None, "{line}");
    }
}

#[test]
fn tables_are_sorted() {
    use super::tables::*;
    for table in
        [NEVER_END, MAY_END, BEFORE_NUMBER, CLOSES_LIST, MONTHS, BEFORE_ORDINAL, GERMAN, PARTICLES]
    {
        assert!(table.is_sorted_by(|a, b| a < b), "{table:?}");
        assert!(table.iter().all(|w| w.to_lowercase() == *w));
    }
}
