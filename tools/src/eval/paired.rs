// SPDX-License-Identifier: AGPL-3.0-or-later
//! Several systems on the same texts: the mean of each figure, and how far the first system is from each other one.
//!
//! A resample draws texts, and all systems are looked at on the texts that were drawn: what makes a text easy or hard for all of
//! them is no part of the interval of a difference (paired bootstrap; Koehn, Statistical Significance Tests for Machine
//! Translation Evaluation, 2004).

use serde::Serialize;

use super::bootstrap::{Bootstrap, Estimate};

/// Figures under their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Named(pub(crate) Vec<(String, Estimate)>);

impl Named {
    /// The figure of this name; one that is not there is not defined.
    pub(crate) fn get(&self, name: &str) -> Estimate {
        let none = Estimate { value: None, low: None, high: None };
        self.0.iter().find(|(known, _)| known == name).map_or(none, |(_, figure)| *figure)
    }
}

impl Serialize for Named {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, figure)| (name, figure)))
    }
}

/// One system.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct System {
    pub(crate) name: String,
    pub(crate) figures: Named,
    /// The first system's figures minus this one's; none for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_minus_this: Option<Named>,
}

/// Compares systems. A row has, for each system, a value for each of `figures`.
pub(crate) fn compare(
    bootstrap: Bootstrap,
    systems: &[String],
    figures: &[&str],
    rows: &[&[f64]],
) -> Vec<System> {
    let width = systems.len() * figures.len();
    let estimates = bootstrap.estimates(rows.len(), |weights| {
        let mut sums = vec![0.0; width];
        let mut all = 0.0;
        for (row, weight) in rows.iter().zip(weights).filter(|(_, weight)| **weight > 0) {
            let weight = f64::from(*weight);
            all += weight;
            for (sum, value) in sums.iter_mut().zip(*row) {
                *sum += weight * value;
            }
        }
        sums.iter_mut().for_each(|sum| *sum /= all);
        let (first, others) = sums.split_at(figures.len().min(width));
        let away = others.chunks(figures.len().max(1));
        let away = away.flat_map(|other| first.iter().zip(other).map(|(a, b)| a - b));
        let away: Vec<f64> = away.collect();
        sums.extend(away);
        sums
    });
    let (means, differences) = estimates.split_at(width);
    let named = |chunk: &[Estimate]| {
        let names = figures.iter().map(|name| (*name).to_owned());
        Named(names.zip(chunk.iter().copied()).collect())
    };
    let size = figures.len().max(1);
    let differences = std::iter::once(None).chain(differences.chunks(size).map(Some));
    systems
        .iter()
        .zip(means.chunks(size).zip(differences))
        .map(|(name, (means, difference))| System {
            name: name.clone(),
            figures: named(means),
            first_minus_this: difference.map(named),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_but_steady_lead_is_seen_through_the_noise_of_the_texts() {
        // Texts differ much, systems by a little that is nearly the same everywhere.
        let rows: Vec<[f64; 2]> = (0..100)
            .map(|i| {
                let easy = f64::from(i % 10) / 10.0;
                [easy + 0.02 + f64::from(i % 2) * 0.002, easy]
            })
            .collect();
        let rows: Vec<&[f64]> = rows.iter().map(<[f64; 2]>::as_slice).collect();
        let names = ["ours".to_owned(), "theirs".to_owned()];
        let bootstrap = Bootstrap { resamples: 500, seed: 1 };
        let systems = compare(bootstrap, &names, &["f1"], &rows);
        assert!((systems[0].figures.get("f1").value.unwrap() - 0.471).abs() < 1e-9);
        assert_eq!(systems[0].first_minus_this, None);
        let lead = systems[1].first_minus_this.as_ref().unwrap().get("f1");
        assert!((lead.value.unwrap() - 0.021).abs() < 1e-9);
        assert!(lead.low.unwrap() > 0.02 && lead.high.unwrap() < 0.022, "{lead:?}");
        let alone = systems[0].figures.get("f1");
        assert!(alone.high.unwrap() - alone.low.unwrap() > 0.05, "{alone:?}");
        assert_eq!(systems[0].figures.get("f2").value, None);
    }

    #[test]
    fn nothing_is_defined_without_texts() {
        let systems = compare(Bootstrap { resamples: 5, seed: 0 }, &["a".to_owned()], &["f1"], &[]);
        assert_eq!(systems[0].figures.get("f1").value, None);
    }
}
