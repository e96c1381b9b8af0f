module example.com/tools

go 1.26

require go.bytecodealliance.org/pkg v0.4.0

// What the generated bindings import. The build takes it from the generator's crate, which carries it.
replace go.bytecodealliance.org/pkg => ./internal/pkg
