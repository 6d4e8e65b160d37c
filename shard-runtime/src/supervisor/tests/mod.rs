//! The machine against tables of its rules, and against an independent model in a small simulated world.

mod all_for_one;
mod budgets;
mod one_for_one;
mod requests;
mod rest_for_one;
mod simple_one_for_one;
mod specs;
mod weaknesses;
mod world;
