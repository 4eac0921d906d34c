//! Names for players.

/// The names of so many players, each different from the others.
pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count)
        .map(|at| match at / NAMES.len() {
            0 => NAMES[at].to_string(),
            round => format!("{}{}", NAMES[at % NAMES.len()], round + 1),
        })
        .collect()
}

/// The scenarios' own two, and more of the kind.
const NAMES: [&str; 26] = [
    "Ada", "Bo", "Cy", "Di", "Eve", "Fay", "Gus", "Hal", "Ivy", "Jo", "Kit", "Lou", "Max", "Ned",
    "Oli", "Pia", "Quy", "Ray", "Sam", "Tia", "Una", "Val", "Wes", "Xia", "Yan", "Zoe",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_player_has_a_name_of_its_own() {
        let names = names(65);
        assert_eq!(names[..3], ["Ada", "Bo", "Cy"]);
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
    }
}
