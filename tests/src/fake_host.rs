//! The module alone, under a host that knows just what the filter is to ask for: any other call
//! fails the test.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use rule::Gateway;
use wasmi::{Caller, Config, Engine, Extern, Instance, Linker, Memory, Store, Val};

/// A status of Proxy-Wasm: what was asked for is not there.
pub const NOT_FOUND: u32 = 1;
/// A status of Proxy-Wasm: another VM was faster.
const CAS_MISMATCH: u32 = 8;
const OK: u32 = 0;
const FUEL: u64 = u64::MAX / 2;
const ROOT: i32 = 1;

/// What the host knows of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Attributes, by their path with dots; those that are not here are not found.
    pub properties: BTreeMap<String, Vec<u8>>,
    /// Headers; those that are not here are not found.
    pub headers: BTreeMap<String, Vec<u8>>,
}

/// The statuses of calls that the host refuses, by the function or, for attributes and headers, by
/// what is asked for.
pub type Refusals = BTreeMap<String, u32>;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The local response, when there was one.
    pub response: Option<LocalResponse>,
    /// The calls that were made for it, and what came of each.
    pub calls: Vec<Call>,
    /// What the module itself did, in wasmi's units.
    pub fuel: u64,
}

/// A call from the module into the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The function, and the attribute or header or metric where there is one.
    pub name: String,
    /// Whether it returned data: such a call costs several times what another costs.
    pub data: bool,
}

/// A response that the module sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    pub status: u32,
    /// The response code details.
    pub details: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The gRPC status, -1 for none.
    pub grpc_status: i32,
}

/// A module, compiled for hosts of any number.
#[derive(Clone, Debug)]
pub struct Module(wasmi::Module);

impl Module {
    /// Reads a module.
    ///
    /// # Errors
    /// There is none in the file.
    pub fn load(path: &Path) -> Result<Self> {
        let engine = Engine::new(Config::default().consume_fuel(true));
        Ok(Self(wasmi::Module::new(&engine, std::fs::read(path)?)?))
    }
}

/// A host with one module in it.
pub struct FakeHost {
    store: Store<World>,
    instance: Instance,
    next_context: i32,
}

/// What the host functions see and leave behind.
#[derive(Debug, Default)]
struct World {
    refusals: Refusals,
    config: Vec<u8>,
    gateway: Option<Gateway>,
    /// What the module set.
    properties: BTreeMap<String, String>,
    /// The values that VMs share, with their versions.
    shared: BTreeMap<String, (Vec<u8>, u32)>,
    facts: Facts,
    metrics: Vec<(String, i64)>,
    log: Vec<(u32, String)>,
    response: Option<LocalResponse>,
    calls: Vec<Call>,
    now: u64,
}

impl FakeHost {
    /// Starts a module in a gateway of istiod and gives it its configuration.
    ///
    /// # Errors
    /// It asks for something unheard of, traps, or refuses the configuration.
    pub fn start(module: &Module, config: &[u8]) -> Result<Self> {
        Self::refusing(module, config, Refusals::new())
    }

    /// The same in any gateway.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_on(module: &Module, gateway: Gateway, config: &[u8]) -> Result<Self> {
        let world = World {
            gateway: Some(gateway),
            config: config.to_vec(),
            ..World::default()
        };
        Self::start_in(module, world)
    }

    /// The same under a host that refuses some calls.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn refusing(module: &Module, config: &[u8], refusals: Refusals) -> Result<Self> {
        let world = World {
            refusals,
            gateway: Some(Gateway::Istio),
            config: config.to_vec(),
            ..World::default()
        };
        Self::start_in(module, world)
    }

    fn start_in(Module(module): &Module, world: World) -> Result<Self> {
        let config = world.config.clone();
        let engine = module.engine();
        let mut store = Store::new(engine, world);
        store.set_fuel(FUEL)?;
        let mut linker = Linker::new(engine);
        for import in module.imports() {
            let name = import.name().to_owned();
            let kind = import
                .ty()
                .func()
                .context("an import is no function")?
                .clone();
            linker.func_new(
                import.module(),
                import.name(),
                kind,
                move |caller, args, results| {
                    let status = call(&name, caller, args)
                        .map_err(|error| wasmi::Error::new(format!("{name}: {error:#}")))?;
                    if let Some(result) = results.first_mut() {
                        *result = Val::I32(status.cast_signed());
                    }
                    Ok(())
                },
            )?;
        }
        let instance = linker.instantiate_and_start(&mut store, module)?;
        let mut host = Self {
            store,
            instance,
            next_context: ROOT + 1,
        };
        host.call::<(), ()>("_initialize", ())?;
        let accepted: i32 =
            host.call("proxy_on_configure", (ROOT, i32::try_from(config.len())?))?;
        if accepted != 1 {
            bail!("the module refuses its configuration");
        }
        Ok(host)
    }

    /// Sends one request through the module.
    ///
    /// # Errors
    /// The module traps, or its answer is none.
    pub fn request(&mut self, facts: &Facts) -> Result<Outcome> {
        let context = self.next_context;
        self.next_context += 1;
        let world = self.store.data_mut();
        world.facts = facts.clone();
        world.calls.clear();
        let before = self.store.get_fuel()?;
        let action: i32 = self.call("proxy_on_request_headers", (context, 0, 1))?;
        let fuel = before - self.store.get_fuel()?;
        let world = self.store.data_mut();
        let response = world.response.take();
        if (action == 1) != response.is_some() {
            bail!("the module returned action {action} with response {response:?}");
        }
        Ok(Outcome {
            response,
            calls: world.calls.clone(),
            fuel,
        })
    }

    /// The value of a metric; `None` when it is not defined.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<i64> {
        let metrics = &self.store.data().metrics;
        metrics
            .iter()
            .find(|(metric, _)| metric == name)
            .map(|(_, value)| *value)
    }

    /// The sum of all counters.
    #[must_use]
    pub fn counted(&self) -> i64 {
        self.store
            .data()
            .metrics
            .iter()
            .filter(|(name, _)| name != "sni_guard.config_invalid")
            .map(|(_, n)| n)
            .sum()
    }

    /// What the module set as an attribute.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.store.data().properties.get(name).map(String::as_str)
    }

    /// Calls the module as Envoy does every second.
    ///
    /// # Errors
    /// It traps.
    pub fn tick(&mut self) -> Result<()> {
        self.call::<_, ()>("proxy_on_tick", ROOT)
    }

    /// The log so far: level and line.
    #[must_use]
    pub fn log(&self) -> &[(u32, String)] {
        &self.store.data().log
    }

    /// How much memory the module has, in octets.
    #[must_use]
    pub fn memory_size(&self) -> usize {
        let memory = self.instance.get_memory(&self.store, "memory");
        memory.map_or(0, |memory| memory.data_size(&self.store))
    }

    /// Sets the clock, in nanoseconds since 1970.
    pub fn set_time(&mut self, now: u64) {
        self.store.data_mut().now = now;
    }

    fn call<P: wasmi::WasmParams, R: wasmi::WasmResults>(
        &mut self,
        name: &str,
        params: P,
    ) -> Result<R> {
        let function = self.instance.get_typed_func::<P, R>(&self.store, name)?;
        function
            .call(&mut self.store, params)
            .map_err(|error| anyhow!("{name}: {error}"))
    }
}

/// A host function: reads its arguments, and returns its status.
fn call(name: &str, caller: Caller<'_, World>, args: &[Val]) -> Result<u32> {
    let mut host = Host { caller, args };
    if let Some(status) = host.refusal(name)? {
        return Ok(status);
    }
    match name {
        "proxy_log" => {
            let (level, line) = (host.u32(0)?, host.text(1)?);
            host.world().log.push((level, line));
        }
        "proxy_get_current_time_nanoseconds" => {
            let now = host.world().now;
            host.record(name, false);
            host.write(0, &now.to_le_bytes())?;
        }
        "proxy_get_buffer_bytes" => {
            let config = host.world().config.clone();
            host.return_data(3, &config)?;
        }
        "proxy_get_property" => {
            let path = host_path(&host.text(0)?);
            let value = host.property(&path);
            return host.return_value(&path, 2, value.as_deref());
        }
        "proxy_get_header_map_value" => {
            let key = host.text(1)?;
            let value = host.world().facts.headers.get(&key).cloned();
            return host.return_value(&key, 3, value.as_deref());
        }
        "proxy_define_metric" => {
            let metric = host.text(1)?;
            host.world().metrics.push((metric, 0));
            let id = u32::try_from(host.world().metrics.len())?;
            host.write(3, &id.to_le_bytes())?;
        }
        "proxy_set_property" => {
            let (path, value) = (host.text(0)?, host.text(2)?);
            host.world().properties.insert(path, value);
            host.record(name, false);
        }
        "proxy_get_shared_data" => {
            let key = host.text(0)?;
            let Some((value, version)) = host.world().shared.get(&key).cloned() else {
                return Ok(NOT_FOUND);
            };
            host.return_data(2, &value)?;
            host.write(4, &version.to_le_bytes())?;
        }
        "proxy_set_shared_data" => {
            let (key, value, expected) = (host.text(0)?, host.bytes(2)?, host.u32(4)?);
            let found = host
                .world()
                .shared
                .get(&key)
                .map_or(0, |(_, version)| *version);
            if expected != 0 && expected != found {
                return Ok(CAS_MISMATCH);
            }
            host.world().shared.insert(key, (value, found + 1));
        }
        "proxy_call_foreign_function" if host.text(0)? == "expr_create" => {
            host.return_data(4, &0_u32.to_le_bytes())?;
        }
        "proxy_set_tick_period_milliseconds" if host.u32(0)? >= 1_000 => {}
        "proxy_get_metric" => {
            let id = usize::try_from(host.u32(0)?)?;
            let metric = host.world().metrics.get(id.wrapping_sub(1));
            let value = metric.context("no such metric")?.1;
            host.write(1, &value.to_le_bytes())?;
        }
        // There is one root context and nothing else that could be gone.
        "proxy_set_effective_context" if host.u32(0)? == ROOT.cast_unsigned() => {}
        "proxy_increment_metric" => host.add_to_metric(name)?,
        "proxy_send_local_response" => {
            let response = host.local_response()?;
            host.world().response = Some(response);
            host.record(name, false);
        }
        other => bail!("the filter is not to call {other}"),
    }
    Ok(OK)
}

/// The path of an attribute as people write it.
fn host_path(path: &str) -> String {
    path.replace('\0', ".")
}

struct Host<'a> {
    caller: Caller<'a, World>,
    args: &'a [Val],
}

impl Host<'_> {
    fn world(&mut self) -> &mut World {
        self.caller.data_mut()
    }

    /// An attribute: what is not one of the request is one of the gateway.
    fn property(&mut self, path: &str) -> Option<Vec<u8>> {
        let world = self.world();
        let is_istio = world.gateway == Some(Gateway::Istio);
        match path {
            "plugin_name" | "plugin_root_id" => Some(b"sni-guard".to_vec()),
            "xds.node.metadata.ISTIO_VERSION" => is_istio.then(|| b"1.31.0".to_vec()),
            _ => world.facts.properties.get(path).cloned(),
        }
    }

    fn refusal(&mut self, name: &str) -> Result<Option<u32>> {
        let what = match name {
            "proxy_get_property" => host_path(&self.text(0)?),
            "proxy_get_header_map_value" => self.text(1)?,
            other => other.to_owned(),
        };
        Ok(self.world().refusals.get(&what).copied())
    }

    fn record(&mut self, name: &str, data: bool) {
        self.world().calls.push(Call {
            name: name.to_owned(),
            data,
        });
    }

    fn u32(&self, index: usize) -> Result<u32> {
        match self.args.get(index) {
            Some(Val::I32(value)) => Ok(value.cast_unsigned()),
            other => bail!("argument {index} is {other:?}"),
        }
    }

    fn i64(&self, index: usize) -> Result<i64> {
        match self.args.get(index) {
            Some(Val::I64(value)) => Ok(*value),
            other => bail!("argument {index} is {other:?}"),
        }
    }

    fn memory(&self) -> Result<Memory> {
        self.caller
            .get_export("memory")
            .and_then(Extern::into_memory)
            .context("no memory")
    }

    /// The octets whose address and length are these arguments.
    fn bytes(&self, index: usize) -> Result<Vec<u8>> {
        let (address, length) = (self.u32(index)?, self.u32(index + 1)?);
        let mut bytes = vec![0; usize::try_from(length)?];
        self.memory()?
            .read(&self.caller, usize::try_from(address)?, &mut bytes)?;
        Ok(bytes)
    }

    fn text(&self, index: usize) -> Result<String> {
        Ok(String::from_utf8(self.bytes(index)?)?)
    }

    /// Writes where this argument points.
    fn write(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        let address = usize::try_from(self.u32(index)?)?;
        self.memory()?.write(&mut self.caller, address, bytes)?;
        Ok(())
    }

    fn return_value(&mut self, what: &str, index: usize, value: Option<&[u8]>) -> Result<u32> {
        self.record(what, value.is_some_and(|value| !value.is_empty()));
        let Some(value) = value else {
            return Ok(NOT_FOUND);
        };
        self.return_data(index, value)?;
        Ok(OK)
    }

    /// Returns octets as Envoy does: in memory of the module, or nothing at all when they are none.
    fn return_data(&mut self, index: usize, data: &[u8]) -> Result<()> {
        let mut address = 0_u32;
        if !data.is_empty() {
            let allocate = self.caller.get_export("proxy_on_memory_allocate");
            let allocate = allocate
                .and_then(Extern::into_func)
                .context("no allocator")?;
            let mut results = [Val::I32(0)];
            let size = Val::I32(i32::try_from(data.len())?);
            allocate.call(&mut self.caller, &[size], &mut results)?;
            let [Val::I32(allocated)] = results else {
                bail!("no address")
            };
            address = allocated.cast_unsigned();
            self.memory()?
                .write(&mut self.caller, usize::try_from(address)?, data)?;
        }
        self.write(index, &address.to_le_bytes())?;
        self.write(index + 1, &u32::try_from(data.len())?.to_le_bytes())
    }

    fn add_to_metric(&mut self, name: &str) -> Result<()> {
        let (id, amount) = (usize::try_from(self.u32(0)?)?, self.i64(1)?);
        let metric = self
            .world()
            .metrics
            .get_mut(id.wrapping_sub(1))
            .context("no such metric")?;
        metric.1 += amount;
        let called = format!("{name} {}", metric.0);
        self.record(&called, false);
        Ok(())
    }

    fn local_response(&self) -> Result<LocalResponse> {
        Ok(LocalResponse {
            status: self.u32(0)?,
            details: self.text(1)?,
            body: self.text(3)?,
            headers: pairs(&self.bytes(5)?)?,
            grpc_status: self.u32(7)?.cast_signed(),
        })
    }
}

/// Reads headers as Proxy-Wasm passes them.
fn pairs(bytes: &[u8]) -> Result<Vec<(String, String)>> {
    let number = |at: usize| -> Result<usize> {
        let four = bytes.get(at..at + 4).context("the headers end too early")?;
        Ok(usize::try_from(u32::from_le_bytes(four.try_into()?))?)
    };
    let count = number(0)?;
    let mut at = 4 + count * 8;
    let mut text = |length: usize| -> Result<String> {
        let text = bytes
            .get(at..at + length)
            .context("the headers end too early")?;
        at += length + 1;
        Ok(String::from_utf8(text.to_vec())?)
    };
    (0..count)
        .map(|pair| Ok((text(number(4 + pair * 8)?)?, text(number(8 + pair * 8)?)?)))
        .collect()
}
