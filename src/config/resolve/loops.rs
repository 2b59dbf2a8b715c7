//! Ways from a thing back to itself, through what it is made of or depends on.

use std::collections::VecDeque;

/// The shortest way from `start` back to itself, itself first, where `below` gives what each of
/// the things numbered from 0 stands on; `None`: there is none.
pub(super) fn way_back(start: usize, below: impl Fn(usize) -> Vec<usize>) -> Option<Vec<usize>> {
    // By which way each was reached first.
    let mut ways: Vec<Vec<usize>> = Vec::new();
    let mut queue = VecDeque::from([vec![start]]);
    while let Some(way) = queue.pop_front() {
        for next in way.last().map(|at| below(*at)).unwrap_or_default() {
            if next == start {
                return Some(way);
            }
            if ways.len() <= next {
                ways.resize(next + 1, Vec::new());
            }
            if let Some(first) = ways.get_mut(next).filter(|way| way.is_empty()) {
                first.clone_from(&way);
                first.push(next);
                queue.push_back(first.clone());
            }
        }
    }
    None
}

/// The loops among `count` things, each once, from the first thing on it.
pub(super) fn loops(count: usize, below: impl Fn(usize) -> Vec<usize>) -> Vec<Vec<usize>> {
    let mut told: Vec<usize> = Vec::new();
    let mut found = Vec::new();
    for start in 0..count {
        let Some(way) = way_back(start, &below) else { continue };
        if !way.iter().any(|at| told.contains(at)) {
            found.push(way.clone());
        }
        told.extend(way);
    }
    found
}

/// The way around in words: `a → b → a`.
pub(super) fn words<'a>(way: &[usize], name: impl Fn(usize) -> Option<&'a str>) -> String {
    let names: Vec<&str> = way.iter().chain(way.first()).filter_map(|at| name(*at)).collect();
    format!("the loop: {}", names.join(" → "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loop_is_found_once_by_its_shortest_way() {
        // 0 → 1 → 2 → 0 and 1 → 0; 3 → 3; 4 → 3.
        let edges: [&[usize]; 5] = [&[1], &[2, 0], &[0], &[3], &[3]];
        let below = |at: usize| edges[at].to_vec();
        assert_eq!(loops(5, below), [vec![0, 1], vec![3]]);
        assert_eq!(words(&[0, 1], |at| ["a", "b"].get(at).copied()), "the loop: a → b → a");
        assert_eq!(way_back(4, below), None, "what leads to a loop is on none");
    }
}
