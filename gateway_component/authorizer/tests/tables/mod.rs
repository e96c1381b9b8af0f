pub mod claims;
pub mod form;
pub mod keys;
pub mod rules;
