// SPDX-License-Identifier: AGPL-3.0-or-later
//! Chat templates against renderings of Jinja2, and templates that mean harm.

use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use bho_models::{ChatInput, ChatTemplate};
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn renderings_are_those_of_jinja2() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/chat");
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    let golden: Value = serde_json::from_str(&read("cases.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 48);
    let mut wrong = Vec::new();
    for case in cases {
        let name = case["template"].as_str().unwrap();
        let template = ChatTemplate::parse(name, &read(&format!("templates/{name}"))).unwrap();
        let given = &golden["conversations"][case["conversation"].as_str().unwrap()];
        let rendered = template.render(&ChatInput {
            messages: given["messages"].as_array().unwrap(),
            add_generation_prompt: given["add_generation_prompt"].as_bool().unwrap_or(true),
            bos_token: Some("<s>"),
            eos_token: Some("</s>"),
            tools: given["tools"].as_array().map(Vec::as_slice),
            extra: given["extra"].as_object(),
            now: Some(UNIX_EPOCH + Duration::from_secs(golden["now"].as_u64().unwrap())),
        });
        match (case["text"].as_str(), rendered) {
            (Some(text), Ok(rendered)) if text == rendered => {}
            (None, Err(_)) => {}
            (expected, found) => {
                wrong.push(format!("{name} {}: {expected:?}\n{found:?}", case["conversation"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn render(source: &str) -> Result<String, String> {
    let messages = [json!({"role": "user", "content": "a".repeat(1000)})];
    let input = ChatInput { messages: &messages, ..ChatInput::default() };
    let template = ChatTemplate::parse("t", source).map_err(|e| e.to_string())?;
    template.render(&input).map_err(|e| e.to_string())
}

#[test]
fn errors_say_what_and_where() {
    assert_eq!(
        render("a\n{{ raise_exception('no such role') }}").unwrap_err(),
        "t: line 2: no such role"
    );
    assert!(render("\n\n{% if %}").unwrap_err().starts_with("t: line 3: "));
    assert!(render("{{ messages[9].role }}").unwrap_err().contains("undefined"));
    assert!(render("{% set n = 2 %}{{ 1 < n < 3 }}").unwrap_err().contains("chained comparisons"));
    assert!(render("{{ 4 is divisibleby(0) }}").unwrap_err().contains("division by 0"));
    assert!(render("{{ range(1, 9223372036854775807, -1) }}").unwrap_err().contains("2^40"));
    assert!(render("{{ strftime_now('%Q') }}").unwrap_err().contains("directive"));
    assert_eq!(render("{% generation -%} a {%- endgeneration %}b{{ '%}' }}").unwrap(), "ab%}");
}

#[test]
fn templates_reach_nothing_outside() {
    for source in [
        "{% include 'Cargo.toml' %}",
        "{% extends 'base' %}",
        "{% import 'a' as b %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ messages.__class__() }}",
        "{{ debug() }}",
        "{{ lipsum() }}",
    ] {
        assert!(render(source).is_err(), "{source}");
    }
}

#[test]
fn templates_that_grow_without_end_are_stopped() {
    let double = "{% set ns.x = ns.x ~ ns.x %}".repeat(60);
    let nested = "{% set x = [x, x] %}".repeat(60);
    let raw = "r".repeat(200_000);
    for (what, source) in [
        ("doubling", format!("{{% set ns = namespace(x='ab') %}}{double}")),
        ("doubling by +", double.replace('~', "+").replace("ns.x", "x").replacen("x + x", "'ab'", 1)),
        ("doubling in a loop", "{% set ns = namespace(x='ab') %}{% for i in range(99999) %}{% set ns.x = ns.x + ns.x %}{% endfor %}".into()),
        ("doubling by join", "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] | join(ns.x) %}{% endfor %}".into()),
        ("replace", "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = ns.x.replace('a', ns.x) %}{% endfor %}".into()),
        ("replace filter", "{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = ns.x | replace('a', ns.x) %}{% endfor %}".into()),
        ("indent", "{{ 'a\nb' | indent(99999999999) }}".into()),
        ("indent by map", "{{ ['a\nb'] | map('indent', 99999999999) | list }}".into()),
        ("a macro", "{% macro f(x, n) %}{{ x }}{% if n > 0 %}{{ f(x ~ x, n - 1) }}{% endif %}{% endmacro %}{{ f('abcdefgh', 60) }}".into()),
        ("a block", "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}{% endfor %}".into()),
        ("repetition", "{% set n = 99999999 %}{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = ns.l + ['a' ~ i] * n %}{% endfor %}".into()),
        ("repetition of a string", "{% set n = 99999999 %}{% set s = 'ab' %}{{ (s * n) | length }}{{ (s * n * n) | length }}{{ (s * n) ~ (s * n) ~ (s * n) }}".into()),
        ("constants", "{{ ('a' * 99999999) ~ ('a' * 99999999) }}".into()),
        ("constant lists", "{{ [1, 2] * 99999999 }}".into()),
        ("sharing shown", format!("{{% set x = 'a' %}}{nested}{{{{ x }}}}")),
        ("sharing as JSON", format!("{{% set x = 'a' %}}{nested}{{{{ x | tojson }}}}")),
        ("sharing compared", format!("{{% set x = 'a' %}}{nested}{{% set y = x %}}{{{{ x == y }}}}{{{{ x in [y] }}}}")),
        ("sharing tested", format!("{{% set x = 'a' %}}{nested}{{{{ [x] | select('eq', x) | list }}}}")),
        ("slices kept", "{% set ns = namespace(l=[]) %}{% set s = messages[0].content * 4000 %}{% for i in range(99999) %}{% set ns.l = ns.l + [s[1:]] %}{% endfor %}".into()),
        ("an endless loop", "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}".into()),
        ("recursion", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".into()),
        ("a recursive loop", "{% set l = [[]] %}{% for x in l recursive %}{{ loop(l) }}{% endfor %}".into()),
        ("literals", format!("{{% for i in range(99999) %}}{{% set x %}}{raw}{{% endset %}}{{% endfor %}}")),
        ("output", format!("{{% for i in range(99999) %}}{raw}{{% endfor %}}")),
        ("depth shown", "{% set ns = namespace(x=1) %}{% for i in range(40000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}".into()),
        ("JSON indentation", "{{ messages | tojson(indent=' ' * 99999999) }}".into()),
        ("deep expressions", format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000))),
        ("long expressions", format!("{{{{ a{} }}}}", "~a".repeat(100_000))),
        ("nested tags", "{% if true %}".repeat(9000)),
        ("a long template", " ".repeat(300_000)),
        ("format", "{{ '%99999999999s' | format('a') }}{{ '{:>99999999999}'.format('a') }}".into()),
        ("batches", "{{ [1] | batch(99999999999) }}".into()),
    ] {
        // Far more than any takes: a template that is not stopped takes for ever.
        let start = Instant::now();
        let result = render(&source);
        assert!(result.is_err(), "{what}: {} bytes", result.unwrap().len());
        assert!(start.elapsed() < Duration::from_secs(60), "{what} took {:?}", start.elapsed());
    }
}

#[test]
fn slices_are_those_of_python() {
    for (expression, expected) in [
        ("'abcde'[1:3]", "bc"),
        ("'abcde'[3:0:-1]", "dcb"),
        ("'abé'[::-1]", "éba"),
        ("''[::-1]", ""),
        ("[][::-1]", "[]"),
        ("[1][1:][::-1]", "[]"),
        ("[1, 2, 3][-2:]", "[2, 3]"),
        ("(1, 2, 3)[:1]", "(1,)"),
        ("[1, 2][-9223372036854775807:9223372036854775807:9223372036854775807]", "[1]"),
        ("4 is divisibleby(-1)", "True"),
    ] {
        assert_eq!(
            render(&format!("{{{{ {expression} }}}}")).as_deref(),
            Ok(expected),
            "{expression}"
        );
    }
}

#[test]
fn deep_and_long_values_that_are_dropped_do_no_harm() {
    let deep = "{% set ns = namespace(x=1) %}{% for i in range(40000) %}{% set ns.x = [ns.x] %}{% endfor %}ok";
    assert_eq!(render(deep).unwrap(), "ok");
    assert_eq!(
        render("{% set n = 3 %}{{ '-' * n }}{{ 2 * 3 }}{{ [1] * n }}").unwrap(),
        "---6[1, 1, 1]"
    );
    let chain = format!("{{{{ x{} }}}}", " or x".repeat(3000));
    assert_eq!(render(&chain).unwrap(), "");
}

/// Pieces of templates, most of them whole, so that many of their sequences parse.
const PIECES: [&str; 44] = [
    "{% set x = x ~ y %}",
    "{% set y = [x, y] %}",
    "{% set x = x + x %}",
    "{% set ns.x = [ns.x] * 9 %}",
    "{% set ns = namespace(x='ab') %}",
    "{% set x = 'é€' %}",
    "{% set y = 3 %}",
    "{% set x = {'k': y} %}",
    "{{ x }}",
    "{{ y | tojson(indent=2) }}",
    "{{ x[1:] }}",
    "{{ x[::-1] }}",
    "{{ y[-1] }}",
    "{{ ns.x }}",
    "{% for i in range(9) %}",
    "{% for x in y recursive %}",
    "{{ loop(y) }}",
    "{% endfor %}",
    "{% if x == y %}",
    "{% else %}",
    "{% endif %}",
    "{% macro f(a, b=2) %}",
    "{{ f(x, b=y) }}",
    "{% endmacro %}",
    "{% break %}",
    "{% continue %}",
    "{% set z %}",
    "{% endset %}",
    "{{ x.split('b') | join(y) }}",
    "{{ x.replace('a', x) }}",
    "{{ y | sort }}",
    "{{ x | list | unique }}",
    "{{ y | map('upper') | list }}",
    "{{ messages[0].content }}",
    "{{ x is iterable }}{{ y in x }}",
    "{{ x * y }}",
    "{{ 2 ** y // 0 }}",
    "{{ x | indent(y) }}",
    "{% block b %}",
    "{% endblock %}",
    "{% call f(1, 2) %}",
    "{% endcall %}",
    "{{ caller() }}",
    "{% generation %}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_template_ends_in_text_or_an_error(pieces in prop::collection::vec(0..PIECES.len(), 1..40)) {
        let source: String = pieces.iter().map(|&i| PIECES[i]).collect();
        let start = Instant::now();
        if let Err(message) = render(&source) {
            prop_assert!(!message.contains("panic"), "{source}: {message}");
        }
        prop_assert!(start.elapsed() < Duration::from_secs(30), "{source}");
    }

    #[test]
    fn any_text_is_a_template_or_an_error(source in "[{}%#a-z'\"|.()\\[\\]~+*:\\- \n]{0,60}") {
        if let Err(message) = render(&source) {
            prop_assert!(!message.contains("panic"), "{source}: {message}");
        }
    }
}
