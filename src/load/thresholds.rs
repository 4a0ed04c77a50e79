//! What a run must keep to, as asked for: `delivered>=99.9,join_p99_ms<300`.

use serde_json::Value;

/// One condition on a figure of the report.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    name: String,
    relation: &'static str,
    bound: f64,
}

/// What became of it.
pub struct Verdict {
    pub text: String,
    pub holds: bool,
}

/// Longer ones first: `<=` begins with `<`.
const RELATIONS: [&str; 4] = ["<=", ">=", "<", ">"];

impl Threshold {
    /// The error names what cannot be read.
    pub fn parse_all(text: &str) -> Result<Vec<Threshold>, String> {
        text.split(',')
            .filter(|part| !part.is_empty())
            .map(Self::parse)
            .collect()
    }

    fn parse(text: &str) -> Result<Threshold, String> {
        for relation in RELATIONS {
            if let Some((name, bound)) = text.split_once(relation) {
                let bound = bound.trim().parse();
                return Ok(Threshold {
                    name: name.trim().to_string(),
                    relation,
                    bound: bound.map_err(|_| format!("no number in threshold {text}"))?,
                });
            }
        }
        Err(format!(
            "threshold {text} compares nothing; it needs one of < <= > >="
        ))
    }

    /// Judges the report's figures; one that is not there is not kept to.
    pub fn judge(&self, figures: &Value) -> Verdict {
        let found = figures[&self.name].as_f64();
        let holds = found.is_some_and(|found| match self.relation {
            "<=" => found <= self.bound,
            ">=" => found >= self.bound,
            "<" => found < self.bound,
            _ => found > self.bound,
        });
        let found = found.map_or("not measured".to_string(), |found| format!("{found:.3}"));
        let Threshold {
            name,
            relation,
            bound,
        } = self;
        let word = if holds { "kept" } else { "BROKEN" };
        Verdict {
            text: format!("{name} {relation} {bound}: {found}, {word}"),
            holds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_are_judged_and_missing_ones_are_broken() {
        let figures = json!({"delivered": 99.95, "join_p99_ms": 310.0});
        let judge = |text: &str| -> Vec<bool> {
            let all = Threshold::parse_all(text).unwrap();
            all.iter().map(|one| one.judge(&figures).holds).collect()
        };
        assert_eq!(judge("delivered>=99.9,join_p99_ms<300"), [true, false]);
        assert_eq!(judge("join_p99_ms<=310,latency_p99_ms<1"), [true, false]);
        assert_eq!(judge(""), [false; 0]);
        assert!(Threshold::parse_all("delivered").is_err());
        assert!(Threshold::parse_all("delivered>much").is_err());
    }
}
