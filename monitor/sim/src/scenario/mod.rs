//! Stories with a claim: each file is named as what it shows, and is one test.

use crate::plan::{Report, report};
use crate::world::{Act, Stage, World};
use anyhow::Result;
use planaria_core::message::MemberState;
use std::time::Duration;

/// One story.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// What it shows, in a sentence.
    pub claim: &'static str,
    stage: fn() -> Stage,
    tell: fn(&mut World) -> Result<()>,
}

macro_rules! scenarios {
    ($($name:ident)+) => {
        $(mod $name;)+
        /// Every story, by name.
        pub const SCENARIOS: &[(&str, Scenario)] = &[$((stringify!($name), $name::SCENARIO)),+];
    };
}

crate::for_each_scenario!(scenarios);

/// Calls a macro with the names of all scenarios.
#[macro_export]
macro_rules! for_each_scenario {
    ($callback:ident) => {
        $callback! {
            all_healers_but_one_killed_all_back
            apoptosis_is_healed_once
            broken_event_stream_misses_no_death
            broker_outage_restarts_nobody
            broker_that_stalls_restarts_nobody
            clean_exit_without_policy_is_left
            clock_step_changes_nothing
            closed_channel_makes_no_second_force_user
            commit_pause_is_left_alone
            compose_down_is_not_death
            crash_after_an_order_starts_once
            crash_after_taking_office_leaves_one_leader
            crash_loop_is_quarantined
            created_is_nobodys_patient
            death_that_history_shows_is_healed
            dependants_do_not_wait_for_ever
            docker_policy_is_not_doubled
            docker_restart_is_left_alone
            docker_stop_is_left_alone
            early_resign_spares_nobody
            elect_moves_the_office_in_order
            engine_restart_brings_everything_back_once
            engine_restart_under_live_restore_harms_nobody
            failed_start_is_tried_again
            five_deaths_at_once_are_healed_at_once
            flapping_broker_does_not_starve_detection
            force_needs_two_witnesses
            frozen_broker_is_healed
            guardian_starts_while_the_broker_is_down
            heal_starts_what_was_stopped
            highest_name_wins
            hold_survives_leader_change
            hung_member_is_killed_then_started
            intent_survives_all_healers
            kill_by_term_is_healed
            killed_again_and_again_is_bounded
            killed_broker_is_started_alone
            killed_leader_is_succeeded_and_started
            killed_worker_is_started_once
            late_order_spares_new_incarnation
            leader_cut_from_the_broker_steps_down
            lost_token_is_seeded_again
            mass_silence_is_about_the_observer
            new_leader_hears_workers_at_once
            one_without_a_monitor_recovers_while_the_broker_is_away
            oneoff_is_nobodys_patient
            oom_of_a_child_is_not_death
            outside_probe_finds_what_hangs
            paused_broker_is_unpaused
            paused_is_unpaused_after_grace
            paused_leader_wakes_and_acts_on_nothing
            quarantine_is_told_once_whoever_leads
            quarantine_survives_a_change_of_leader
            quiet_group_keeps_its_leader
            recreate_is_not_touched
            removal_of_the_dead_is_not_healed
            removed_is_made_anew_where_its_label_allows
            reset_connections_make_no_second_force_user
            resume_ends_a_hold
            returning_higher_candidate_takes_over_in_order
            rm_and_up_is_not_touched
            signal_that_only_cancels_dockers_policy_is_no_stop
            slow_call_outlives_its_caller
            solo_heals_the_killed_and_the_unhealthy
            stop_start_recovers_membership
            stopped_in_its_tracks_is_healed
            stopped_leader_resigns_first
            stubborn_stop_grace_is_respected
            term_grows_over_restarts
            two_healers_one_actor
            two_paths_elect_one_force_user
            unhealthy_is_restarted
            unwitnessed_is_not_dead
        }
    };
}

impl Scenario {
    /// Tells the story in a world of this seed.
    ///
    /// # Errors
    /// Where the claim does not hold; broken invariants are in the report.
    pub fn run(&self, seed: u64, trace: bool) -> (Report, Result<()>) {
        let mut stage = (self.stage)();
        stage.trace = trace;
        let mut world = World::new(seed, stage);
        let told = (self.tell)(&mut world);
        (report(seed, &world), told)
    }
}

/// The story of that name.
#[must_use]
pub fn find(name: &str) -> Option<Scenario> {
    SCENARIOS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, scenario)| *scenario)
}

/// A program that ends itself half a second after each start, until it is in quarantine.
fn crash_loop(world: &mut World, name: &str) -> Result<()> {
    world.happens(Act::CrashLoop(name.to_owned(), 500));
    world.until("it is in quarantine", Duration::from_secs(180), |w| {
        w.seen(name) == Some(MemberState::Quarantined)
    })?;
    Ok(())
}
