//! `chaos-monkey attack`: one attack, and what became of it.

use super::{Exit, complain, engine_exit, say};
use planaria_chaos::attack::End;
use planaria_chaos::engine::EngineError;
use planaria_chaos::fault::Fault;
use planaria_chaos::identity;
use planaria_chaos::ledger::Ledger;
use planaria_chaos::monkey::{self, Monkey, NoAttack, Outfit};
use planaria_chaos::plan::{self, Order, Trigger};
use planaria_chaos::target::{Policy, Wish};
use planaria_monitor::{Settings, ask};
use tokio::time::Instant;

/// What the command line asks for.
pub(super) struct Wanted {
    pub(super) fault: Option<Fault>,
    pub(super) target: Option<String>,
    pub(super) dry_run: bool,
    pub(super) seed: Option<u64>,
    pub(super) project: Option<String>,
}

pub(super) fn attack(settings: &Settings, wanted: Wanted) -> Exit {
    planaria_monitor::logging::init(settings);
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(carry_out(settings, wanted)),
        Err(error) => {
            complain(&error);
            Exit::Failed
        }
    }
}

async fn carry_out(settings: &Settings, wanted: Wanted) -> Exit {
    let faults = match wanted.fault.map_or_else(
        || monkey::faults(&settings.chaos_faults),
        |fault| Ok(vec![fault]),
    ) {
        Ok(faults) => faults,
        Err(error) => {
            complain(&format!("CHAOS_FAULTS: {error}"));
            return Exit::Config;
        }
    };
    let engine = match planaria_monitor::docker::connect(settings).await {
        Ok(engine) => engine,
        Err(error) => {
            complain(&error);
            return engine_exit(&error);
        }
    };
    let mut policy = Policy::new(settings);
    policy.project = wanted.project;
    if let Err(error) =
        identity::identify(&engine, &mut policy, identity::hostname().as_deref()).await
    {
        complain(&error);
        return Exit::Unavailable;
    }
    let ledger = match settings
        .state_dir
        .as_deref()
        .map_or_else(|| Ok(Ledger::forgetful()), Ledger::open)
    {
        Ok(ledger) => ledger,
        Err(error) => {
            complain(&error);
            return Exit::Failed;
        }
    };
    let status = ask::any_status(&monitors(settings)).await;
    let mut monkey = Monkey::new(Outfit {
        engine,
        policy,
        seed: wanted
            .seed
            .or(settings.chaos_seed)
            .unwrap_or_else(plan::draw_seed),
        boot: rand::random(),
        ledger,
        group: Box::new(move || status.clone()),
        tell: Box::new(|_| {}),
    });
    if let Some(dir) = &settings.state_dir
        && let Err(error) = monkey.remember(dir)
    {
        complain(&error);
        return Exit::Failed;
    }
    let wish = wanted.target.as_deref().map_or(Wish::Anyone, Wish::parse);
    let order = Order {
        trigger: Trigger::Command,
        faults,
        wish,
    };
    if wanted.dry_run {
        preview(&mut monkey, &order).await
    } else {
        really(&mut monkey, &order).await
    }
}

/// Where a monitor may answer: in this container, else the healers by the names of the default stack.
fn monitors(settings: &Settings) -> Vec<String> {
    let port = settings.health_addr.port();
    let healers =
        (1..=settings.healers).map(|i| format!("{}healer-{i}:{port}", settings.container_prefix));
    std::iter::once(format!("127.0.0.1:{port}"))
        .chain(healers)
        .collect()
}

async fn preview(monkey: &mut Monkey<bollard::Docker>, order: &Order) -> Exit {
    match monkey.choose(order).await {
        Ok(choice) => {
            say(&format!(
                "Would attack {} with {}, chosen of {} candidates (excluded: {})",
                choice.victim.name,
                choice.fault,
                choice.sifted.fit.len(),
                choice.sifted.excluded_text()
            ));
            Exit::Done
        }
        Err(error) => {
            complain(&error);
            refused(&error)
        }
    }
}

async fn really(monkey: &mut Monkey<bollard::Docker>, order: &Order) -> Exit {
    if let Err(error) = monkey.attack(order, Instant::now()).await {
        return refused(&error);
    }
    let end = tokio::select! {
        end = monkey.ended() => end,
        // What was begun is not left behind.
        _ = tokio::signal::ctrl_c() => {
            monkey.undo_all("the command was ended").await;
            End::Reverted
        }
    };
    match end {
        End::Healed => Exit::Done,
        // A stop looks like a person's will: that it was undone by the monkey is as it should be.
        End::Reverted if order.faults == [Fault::Stop] => Exit::Done,
        End::Reverted | End::Failed | End::Gone | End::Open => Exit::Failed,
    }
}

fn refused(error: &NoAttack) -> Exit {
    match error {
        NoAttack::Engine(EngineError::Gone(_) | EngineError::Refused(_))
        | NoAttack::Declined(_) => Exit::Declined,
        _ => Exit::Unavailable,
    }
}
