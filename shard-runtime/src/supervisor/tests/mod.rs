//! The machine against tables of its rules, and against an independent model in a small simulated world.

mod all_for_one;
mod budgets;
mod child_model;
mod instance_model;
mod one_for_one;
mod random;
mod requests;
mod rest_for_one;
mod scene;
mod simple_one_for_one;
mod specs;
mod weaknesses;
mod world;
