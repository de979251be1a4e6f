//! The steps of a run that its trace records.

use std::ops::RangeInclusive;
use std::str::FromStr;

/// The steps that are recorded, counted from 1 over the whole run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedSteps {
    ranges: Vec<RangeInclusive<usize>>,
    /// Whether the last step of each epoch is recorded.
    last: bool,
}

impl Default for TracedSteps {
    /// 1, 2, 3, 10, 100 and the last step of each epoch.
    fn default() -> Self {
        Self { ranges: vec![1..=3, 10..=10, 100..=100], last: true }
    }
}

impl FromStr for TracedSteps {
    type Err = String;

    /// From a list such as `1-5,100,last`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut steps = Self { ranges: Vec::new(), last: false };
        for part in text.split(',') {
            if part == "last" {
                steps.last = true;
                continue;
            }
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) if 1 <= first && first <= last => {
                    steps.ranges.push(first..=last);
                }
                _ => {
                    let expected = "expected a list of steps from 1 on, ranges of them, and `last` (of each epoch), such as 1-5,100,last";
                    return Err(expected.into());
                }
            }
        }
        Ok(steps)
    }
}

impl TracedSteps {
    /// Whether a step is recorded; `last`: it is the last one of its epoch.
    pub fn contains(&self, step: usize, last: bool) -> bool {
        last && self.last || self.ranges.iter().any(|range| range.contains(&step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_a_list_of_numbers_ranges_and_last() {
        let steps: TracedSteps = "2-4,100,last".parse().unwrap();
        assert_eq!(steps.ranges, [2..=4, 100..=100]);
        assert!(steps.last);
        assert_eq!("1-3,10,100,last".parse(), Ok(TracedSteps::default()));
        for wrong in ["", "0", "3-2", "a", "1,,2", "-1", "1-"] {
            assert!(wrong.parse::<TracedSteps>().unwrap_err().contains("1-5,100,last"), "{wrong}");
        }
    }
}
