//! What the launcher does with what is typed.

use super::{
    Launch, Outcome,
    command::{Command, HELP, Who},
    member::{Member, State},
    plan::Programs,
};
use crate::net::Net;

impl Launch {
    /// Does what a line says, or says why not; a reason to end if that is what it says.
    pub(super) async fn obey(&mut self, line: &str) -> Option<Outcome> {
        let outcome = match Command::parse(line) {
            Ok(None) => Ok(None),
            Ok(Some(Command::Quit)) => Ok(Some(Outcome::Done)),
            Ok(Some(command)) => self.follow(command).await.map(|()| None),
            Err(error) => Err(error),
        };
        self.output.prompt();
        outcome.unwrap_or_else(|error| {
            self.output.problem(&error);
            None
        })
    }

    async fn follow(&mut self, command: Command) -> Result<(), String> {
        match command {
            Command::Net(who, net) => self.change(who, net).await?,
            Command::Add if !self.is_open => return Err("the server is not ready yet".into()),
            Command::Add if self.members.len() > MOST => {
                return Err(format!("{MOST} players are the most"));
            }
            Command::Add => self.add().map_err(|complaint| complaint.error)?,
            Command::Kick(who) => {
                let at = self.find(&who)?;
                if self.plan.programs != Programs::BuiltIn {
                    return Err(
                        "only the built-in server can be asked to: `kill` ends the process".into(),
                    );
                }
                let order = format!("tell kick {}", self.members[at].name);
                self.members[0].order(&order).await;
            }
            Command::Kill(who) => {
                let at = self.find(&who)?;
                self.members[at].is_doomed = true;
                self.members[at].order("kill").await;
            }
            Command::Freeze(who) => self.freeze(&who, "freeze", State::Frozen).await?,
            Command::Thaw(who) => self.freeze(&who, "thaw", State::Running).await?,
            Command::Tell(who, text) => {
                let at = self.find(&who)?;
                self.members[at].order(&format!("tell {text}")).await;
            }
            Command::Status => self.status(),
            Command::Help => HELP.iter().for_each(|line| self.output.note(line)),
            // Handled where it can end something.
            Command::Quit => {}
        }
        if self.output.is_screen() {
            self.status();
        }
        Ok(())
    }

    async fn change(&mut self, who: Option<Who>, net: Net) -> Result<(), String> {
        let (all, whose) = match who {
            Some(who) => {
                let at = self.find(&who)?;
                (vec![at], self.members[at].label())
            }
            None => {
                self.plan.nets.set_everyone(net);
                let players = 1..self.members.len();
                let running = players.filter(|&at| !self.members[at].has_ended());
                (running.collect(), "everyone".into())
            }
        };
        for at in all {
            self.members[at].net = net;
            self.members[at].order(&format!("net {net}")).await;
            self.figures[at].begin_anew();
        }
        self.output
            .note(&format!("{whose} plays over {net} from now on"));
        Ok(())
    }

    async fn freeze(&mut self, who: &Who, order: &str, state: State) -> Result<(), String> {
        let at = self.find(who)?;
        if !cfg!(unix) {
            return Err("this system cannot stop a process and let it go on".into());
        }
        let member = &mut self.members[at];
        member.state = state;
        member.order(order).await;
        let what = if state == State::Frozen {
            "stands still"
        } else {
            "goes on"
        };
        let text = format!("{} {what}", member.label());
        self.output.note(&text);
        Ok(())
    }

    /// A process that has not ended.
    fn find(&self, who: &Who) -> Result<usize, String> {
        let is_meant = |member: &Member| match who {
            Who::Server => member.number == 0,
            Who::Number(number) => member.number == *number,
            Who::Name(name) => member.name.eq_ignore_ascii_case(name),
        };
        let found = self.members.iter().find(|member| is_meant(member));
        match found {
            Some(member) if member.has_ended() => Err(format!("{} has ended", member.label())),
            Some(member) => Ok(member.number),
            None => Err("there is no such player: `status` shows who plays".into()),
        }
    }
}

/// How many players there may be.
const MOST: usize = 64;
