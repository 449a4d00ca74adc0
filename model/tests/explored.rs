//! Both models are explored to their last state, and each rule that is left out is noticed.

use planaria_model::{election, orders};
use stateright::{Checker, HasDiscoveries, Model};
use std::time::Instant;

const THREADS: usize = 2;

fn explore<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: std::fmt::Debug + std::hash::Hash + Clone + PartialEq + Send + Sync + 'static,
    M::Action: std::fmt::Debug + PartialEq + Clone,
{
    let began = Instant::now();
    let checker = model.checker().threads(THREADS).spawn_bfs().join();
    println!(
        "{name}: {} states ({} found, {} steps deep) explored completely in {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64()
    );
    assert!(checker.is_done(), "{name}: not explored to the end");
    checker.assert_properties();
}

#[test]
fn at_most_one_may_use_force_in_every_order_of_events() {
    for budget in election::Budget::EXPLORED {
        let model = election::Election {
            budget,
            sabotage: None,
        };
        explore(&format!("election, {budget:?}"), model);
    }
}

#[test]
fn orders_hit_what_was_judged_in_every_order_of_events() {
    explore(
        "orders",
        orders::Orders {
            budget: orders::Budget::ONE_OF_EACH,
            sabotage: None,
        },
    );
}

/// Whether this property is found broken.
fn noticed<M>(model: M, property: &'static str) -> bool
where
    M: Model + Send + Sync + 'static,
    M::State: std::fmt::Debug + std::hash::Hash + Clone + PartialEq + Send + Sync + 'static,
    M::Action: std::fmt::Debug + PartialEq + Clone,
{
    let checker = model
        .checker()
        .threads(THREADS)
        .finish_when(HasDiscoveries::AllOf([property].into()))
        .spawn_bfs()
        .join();
    checker.discovery(property).is_some()
}

#[test]
fn each_rule_of_the_election_that_is_left_out_is_noticed() {
    use election::{Budget, Election, Sabotage};
    for (sabotage, budget) in [
        (Sabotage::NoWait, Budget::FREEZE_CLOSE_RESIGN),
        (
            // Frozen with a beat that just came back, thawed to take it, and frozen again.
            Sabotage::LeaseFromReturn,
            Budget {
                freezes: 2,
                closes: 1,
                ..Budget::NONE
            },
        ),
        (Sabotage::StaleWaiver, Budget::FREEZE_CLOSE_RESIGN),
        (Sabotage::EndlessLease, Budget::CRASH_FREEZE_LOSS),
        (Sabotage::EarlyResign, Budget::FREEZE_CLOSE_RESIGN),
    ] {
        let model = Election {
            budget,
            sabotage: Some(sabotage),
        };
        assert!(
            noticed(model, "at most one may use force"),
            "{sabotage:?} harms nobody"
        );
    }
}

#[test]
fn each_rule_of_orders_that_is_left_out_is_noticed() {
    use orders::{Budget, Orders, Sabotage};
    for (sabotage, property) in [
        (Sabotage::AnyLife, "only the life that was judged is hit"),
        (Sabotage::AnyTerm, "terms that are obeyed never decrease"),
        (Sabotage::AnyAge, "no order on old evidence is obeyed"),
        (Sabotage::NoMemory, "no order is obeyed twice"),
        (Sabotage::Window, "only the life that was judged is hit"),
    ] {
        let model = Orders {
            budget: Budget::ONE_OF_EACH,
            sabotage: Some(sabotage),
        };
        assert!(noticed(model, property), "{sabotage:?} harms nobody");
    }
}
