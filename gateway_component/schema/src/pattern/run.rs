//! The machine: all states at once, one character at a time.

use super::class::is_word;
use super::program::{Instruction, Program};
use crate::equal::Budget;

/// The budget was used up before the answer was known.
#[derive(Debug)]
pub(crate) struct Exhausted;

/// Work on states that one step of the budget pays for.
const STATES_PER_STEP: u64 = 8;

impl Program {
    /// Whether the pattern matches anywhere in the text.
    pub(crate) fn matches(&self, text: &str, budget: &mut Budget) -> Result<bool, Exhausted> {
        let mut machine = Machine { program: self, text, budget };
        machine.run(0, 0, false, !self.is_anchored())
    }
}

struct Machine<'m> {
    program: &'m Program,
    text: &'m str,
    budget: &'m mut Budget,
}

/// States that wait for a character, without duplicates.
struct States {
    waiting: Vec<usize>,
    /// By instruction: the step at which it was last visited.
    visited: Vec<usize>,
    pending: Vec<usize>,
}

impl Machine<'_> {
    /// Runs from `entry` at byte `position`; with `search` a match may begin at any later position as well.
    fn run(
        &mut self,
        entry: usize,
        position: usize,
        backwards: bool,
        search: bool,
    ) -> Result<bool, Exhausted> {
        let size = self.program.code.len();
        if !self.budget.pay(1 + size as u64 / 64) {
            return Err(Exhausted);
        }
        let mut states = States { waiting: Vec::new(), visited: vec![0; size], pending: Vec::new() };
        let mut current: Vec<usize> = Vec::new();
        let (mut at, mut steps) = (position, 1);
        if self.follow(&mut states, entry, at, steps)? {
            return Ok(true);
        }
        loop {
            let next =
                if backwards { self.text[..at].chars().next_back() } else { self.text[at..].chars().next() };
            let Some(character) = next else {
                return Ok(false);
            };
            if states.waiting.is_empty() && !search {
                return Ok(false);
            }
            at = if backwards { at - character.len_utf8() } else { at + character.len_utf8() };
            steps += 1;
            std::mem::swap(&mut current, &mut states.waiting);
            states.waiting.clear();
            if !self.budget.pay(current.len() as u64 / STATES_PER_STEP + u64::from(steps % 8 == 0)) {
                return Err(Exhausted);
            }
            for &state in &current {
                let taken = match &self.program.code[state] {
                    Instruction::Character(expected) => *expected == character,
                    Instruction::Class(class) => class.contains(character),
                    _ => false,
                };
                if taken && self.follow(&mut states, state + 1, at, steps)? {
                    return Ok(true);
                }
            }
            if search && self.follow(&mut states, entry, at, steps)? {
                return Ok(true);
            }
        }
    }

    /// Adds every state reachable without a character; true if one of them is the end.
    fn follow(
        &mut self,
        states: &mut States,
        entry: usize,
        at: usize,
        steps: usize,
    ) -> Result<bool, Exhausted> {
        states.pending.clear();
        states.pending.push(entry);
        let mut work = 0;
        while let Some(state) = states.pending.pop() {
            if std::mem::replace(&mut states.visited[state], steps) == steps {
                continue;
            }
            work += 1;
            match &self.program.code[state] {
                Instruction::Match => return Ok(true),
                Instruction::Jump(next) => states.pending.push(*next),
                Instruction::Split(first, second) => states.pending.extend([*second, *first]),
                Instruction::Start if at == 0 => states.pending.push(state + 1),
                Instruction::End if at == self.text.len() => states.pending.push(state + 1),
                Instruction::WordBoundary { negated } if self.is_boundary(at) != *negated => {
                    states.pending.push(state + 1)
                }
                Instruction::Look { behind, negated, next } => {
                    let (behind, negated, next) = (*behind, *negated, *next);
                    if self.run(state + 1, at, behind, false)? != negated {
                        states.pending.push(next);
                    }
                }
                Instruction::Character(_) | Instruction::Class(_) => states.waiting.push(state),
                Instruction::Start | Instruction::End | Instruction::WordBoundary { .. } => {}
            }
        }
        if self.budget.pay(work / STATES_PER_STEP) { Ok(false) } else { Err(Exhausted) }
    }

    fn is_boundary(&self, at: usize) -> bool {
        let before = self.text[..at].chars().next_back().is_some_and(is_word);
        let after = self.text[at..].chars().next().is_some_and(is_word);
        before != after
    }
}
