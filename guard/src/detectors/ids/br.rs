// SPDX-License-Identifier: AGPL-3.0-or-later
//! Numbers of Brazil: CPF and CNPJ.

use super::{IdDetector, IdRule, Shapes, uniform};
use crate::finding::PiiType;

/// Cadastro de Pessoas Físicas (Receita Federal: two check digits modulo 11).
pub const BR_CPF: PiiType = PiiType::new("br_cpf");
/// Cadastro Nacional da Pessoa Jurídica (Receita Federal, IN RFB 2.229/2024: letters from July 2026).
pub const BR_CNPJ: PiiType = PiiType::new("br_cnpj");

/// The detector of these numbers.
pub const DETECTOR: IdDetector = IdDetector {
    name: "br_ids",
    kinds: &[BR_CPF, BR_CNPJ],
    rules: &[
        IdRule {
            kind: BR_CPF,
            rule: "cpf_mod11",
            shapes: Shapes::new(&["999.999.999-99", "999999999-99"]),
            valid: |chars| checks(chars, 11),
            bare: 0.6,
            grouped: 0.95,
            cues: &["cpf", "contribuinte"],
            ..IdRule::BASE
        },
        IdRule {
            kind: BR_CNPJ,
            rule: "cnpj_mod11",
            shapes: Shapes::new(&["XX.XXX.XXX/XXXX-99"]),
            valid: |chars| checks(chars, 9),
            bare: 0.5,
            grouped: 0.95,
            cues: &["cnpj"],
            ..IdRule::BASE
        },
    ],
};

/// Both check digits: weights from 2 up, from the right, starting over after `most`. A letter counts as its code less 48.
fn checks(chars: &[u8], most: usize) -> bool {
    let check = |chars: &[u8]| {
        let sum: usize = chars
            .iter()
            .rev()
            .enumerate()
            .map(|(i, &b)| usize::from(b - b'0') * (2 + i % (most - 1)))
            .sum();
        match sum % 11 {
            0 | 1 => b'0',
            rest => b'0' + (11 - rest) as u8,
        }
    };
    let (one, two) = (chars.len() - 2, chars.len() - 1);
    !uniform(chars) && check(&chars[..one]) == chars[one] && check(&chars[..two]) == chars[two]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::testing::{assert_clean, assert_table};

    #[test]
    fn numbers_are_found_exactly() {
        assert_table(
            &DETECTOR,
            &[
                ("529.982.247-25", &["529.982.247-25"]),
                ("CPF 52998224725", &["52998224725"]),
                ("111444777-35", &["111444777-35"]),
                ("11.222.333/0001-81", &["11.222.333/0001-81"]),
                ("CNPJ 11222333000181", &["11222333000181"]),
                ("12.ABC.345/01DE-35", &["12.ABC.345/01DE-35"]),
            ],
        );
    }

    #[test]
    fn what_fails_a_check_or_lacks_its_word_is_left() {
        assert_clean(
            &DETECTOR,
            &[
                "52998224725",
                "529.982.247-26",
                "CPF 111.111.111-11",
                "CPF 529 982 247 25",
                "11222333000181",
                "11.222.333/0001-82",
                "12.ABC.345/01DE-36",
            ],
        );
    }
}
