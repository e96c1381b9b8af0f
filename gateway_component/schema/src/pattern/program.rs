//! Tree → program of a Thompson machine.

use super::PatternError;
use super::class::Class;
use super::parse::{Node, parse};

/// Instructions of one program; more means a quantifier with large numbers, whose check would be slow.
const MAX_INSTRUCTIONS: usize = 10_000;
/// Visits of tree nodes while compiling, which bounds repetitions of nothing.
const MAX_VISITS: usize = 50_000;
const TOO_LARGE: PatternError =
    PatternError::Unsupported("is too large once its repetitions are written out");

#[derive(Clone, Debug)]
pub(crate) enum Instruction {
    Character(char),
    Class(Class),
    Start,
    End,
    WordBoundary {
        negated: bool,
    },
    /// Go on at both.
    Split(usize, usize),
    Jump(usize),
    /// Whether the program that follows matches here; go on at `next` if that is as wished.
    Look {
        behind: bool,
        negated: bool,
        next: usize,
    },
    Match,
}

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) code: Vec<Instruction>,
}

impl Program {
    pub(crate) fn compile(pattern: &str) -> Result<Self, PatternError> {
        Program::of(&parse(pattern)?.node)
    }

    /// The program of a tree.
    pub(crate) fn of(tree: &Node) -> Result<Self, PatternError> {
        let mut compiler = Compiler { code: Vec::new(), visits: 0, backwards: false };
        compiler.node(tree)?;
        compiler.emit(Instruction::Match)?;
        Ok(Program { code: compiler.code })
    }

    /// Whether every match begins at the start of the text.
    pub(crate) fn is_anchored(&self) -> bool {
        matches!(self.code.first(), Some(Instruction::Start))
    }
}

struct Compiler {
    code: Vec<Instruction>,
    visits: usize,
    /// Inside a lookbehind the text is walked backwards, so sequences are laid out in reverse.
    backwards: bool,
}

impl Compiler {
    fn emit(&mut self, instruction: Instruction) -> Result<usize, PatternError> {
        if self.code.len() >= MAX_INSTRUCTIONS {
            return Err(TOO_LARGE);
        }
        self.code.push(instruction);
        Ok(self.code.len() - 1)
    }

    fn node(&mut self, node: &Node) -> Result<(), PatternError> {
        self.visits += 1;
        if self.visits > MAX_VISITS {
            return Err(TOO_LARGE);
        }
        match node {
            Node::Character(character) => self.emit(Instruction::Character(*character)).map(drop),
            Node::Class(class) => self.emit(Instruction::Class(class.clone())).map(drop),
            Node::Start => self.emit(Instruction::Start).map(drop),
            Node::End => self.emit(Instruction::End).map(drop),
            Node::WordBoundary { negated } => {
                self.emit(Instruction::WordBoundary { negated: *negated }).map(drop)
            }
            Node::Sequence(nodes) if self.backwards => {
                nodes.iter().rev().try_for_each(|node| self.node(node))
            }
            Node::Sequence(nodes) => nodes.iter().try_for_each(|node| self.node(node)),
            Node::Choice(branches) => self.choice(branches),
            Node::Group { node, .. } => self.node(node),
            Node::Repeat { node, least, most } => self.repeat(node, *least, *most),
            Node::Look { node, behind, negated } => self.look(node, *behind, *negated),
        }
    }

    fn choice(&mut self, branches: &[Node]) -> Result<(), PatternError> {
        let mut ends = Vec::with_capacity(branches.len());
        for (index, branch) in branches.iter().enumerate() {
            if index + 1 == branches.len() {
                self.node(branch)?;
                break;
            }
            let split = self.emit(Instruction::Split(0, 0))?;
            self.node(branch)?;
            ends.push(self.emit(Instruction::Jump(0))?);
            self.code[split] = Instruction::Split(split + 1, self.code.len());
        }
        for end in ends {
            self.code[end] = Instruction::Jump(self.code.len());
        }
        Ok(())
    }

    fn repeat(&mut self, node: &Node, least: u32, most: Option<u32>) -> Result<(), PatternError> {
        for _ in 0..least {
            self.node(node)?;
        }
        let Some(most) = most else {
            let split = self.emit(Instruction::Split(0, 0))?;
            self.node(node)?;
            self.emit(Instruction::Jump(split))?;
            self.code[split] = Instruction::Split(split + 1, self.code.len());
            return Ok(());
        };
        let mut splits = Vec::new();
        for _ in least..most {
            splits.push(self.emit(Instruction::Split(0, 0))?);
            self.node(node)?;
        }
        for split in splits {
            self.code[split] = Instruction::Split(split + 1, self.code.len());
        }
        Ok(())
    }

    fn look(&mut self, node: &Node, behind: bool, negated: bool) -> Result<(), PatternError> {
        let look = self.emit(Instruction::Match)?;
        let outer = std::mem::replace(&mut self.backwards, behind);
        self.node(node)?;
        self.backwards = outer;
        self.emit(Instruction::Match)?;
        self.code[look] = Instruction::Look { behind, negated, next: self.code.len() };
        Ok(())
    }
}
