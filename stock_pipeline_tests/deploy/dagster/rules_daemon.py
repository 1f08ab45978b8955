"""Rules: there is one daemon, what does not work is started again, and all processes work on the same place."""

from __future__ import annotations

from collections.abc import Iterator

from stock_pipeline_tests.deploy.dagster.shared import containers, environment, form_of, rule
from stock_pipeline_tests.lambdas.template import Template, text


@rule
def there_is_never_a_second_daemon(template: Template) -> Iterator[str]:
    for name, service in template.of_type("AWS::ECS::Service").items():
        deployment = service.get("DeploymentConfiguration", {})
        bounds = (
            service.get("DesiredCount"),
            deployment.get("MaximumPercent"),
            deployment.get("MinimumHealthyPercent"),
        )
        if bounds != (1, 100, 0):
            yield f"{name} may run twice, or not be replaced"
    for name, group in template.of_type("AWS::AutoScaling::AutoScalingGroup").items():
        update = template.resources[name].get("UpdatePolicy", {}).get("AutoScalingRollingUpdate", {})
        if (group.get("MaxSize"), group.get("DesiredCapacity"), update.get("MinInstancesInService")) != ("1", "1", 0):
            yield f"{name} may have two machines"
        if group.get("InstanceMaintenancePolicy") != {"MinHealthyPercentage": 0, "MaxHealthyPercentage": 100}:
            yield f"{name} may have two machines when one has failed"
    daemons = [one for _, one in containers(template) if one.get("Command", [])[-1:] == ["daemon"]]
    if form_of(template) == "ecs" and len(daemons) != 1:
        yield f"a task has {len(daemons)} daemons"
    if template.of_type("AWS::ApplicationAutoScaling::ScalableTarget"):
        yield "something scales"


@rule
def a_part_that_does_not_work_is_started_again(template: Template) -> Iterator[str]:
    served = {}
    for name, one in containers(template):
        if one.get("LinuxParameters", {}).get("InitProcessEnabled") is not True:
            yield f"{name} has no init process: what it starts may stay as a zombie"
        if one.get("Essential") is not True:
            yield f"{name} may end, and the task goes on without it"
        if "Command" in one:
            served[name] = one
            part = one["Command"][-1]
            asks = ["CMD", "python", "-m", "stock_pipeline.local.dev.alive", part]
            if one["Command"] != ["python", "-m", "stock_pipeline", "serve", part]:
                yield f"{name} runs something else"
            if one.get("HealthCheck", {}).get("Command") != asks:
                yield f"nobody asks whether {name} works"
    if form_of(template) == "ecs" and served.keys() != {"code", "webserver", "daemon"}:
        yield f"the task has the parts {sorted(served)}"
    for name, service in template.of_type("AWS::ECS::Service").items():
        if service["DeploymentConfiguration"].get("DeploymentCircuitBreaker") != {"Enable": True, "Rollback": True}:
            yield f"{name} tries a broken version for ever"
    for name in template.of_type("AWS::AutoScaling::AutoScalingGroup"):
        resource = template.resources[name]
        waits = resource.get("UpdatePolicy", {}).get("AutoScalingRollingUpdate", {}).get("WaitOnResourceSignals")
        if "ResourceSignal" not in resource.get("CreationPolicy", {}) or waits is not True:
            yield f"{name} is called deployed before Dagster answers"


@rule
def containers_start_one_after_the_other(template: Template) -> Iterator[str]:
    """Two that create the tables of a new database at the same time would break them."""
    after = {name: one.get("DependsOn") for name, one in containers(template) if "Command" in one}
    order = {"code": None, "webserver": "code", "daemon": "webserver"}
    for name, first in order.items():
        wanted = first and [{"ContainerName": first, "Condition": "HEALTHY"}]
        if form_of(template) == "ecs" and after.get(name) != wanted:
            yield f"{name} does not wait for {first}"


@rule
def every_process_has_the_same_place(template: Template) -> Iterator[str]:
    """All four, and the run, work on the same pipeline, history and logs."""
    found = {name: environment(one) for name, one in containers(template)}
    yield from (
        f"{name} has another environment than the code server" for name in found if found[name] != found["code"]
    )
    passwords = {name: one["Secrets"][0] for name, one in containers(template) if one.get("Secrets")}
    for name in found:
        if passwords.get(name, {}).get("Name") != "DAGSTER_POSTGRES_PASSWORD":
            yield f"{name} has no password from the store of secrets"


@rule
def every_run_has_the_task_that_the_launcher_is_told_of(template: Template) -> Iterator[str]:
    runs = [task for task in template.of_type("AWS::ECS::TaskDefinition").values()
            if [one["Name"] for one in task["ContainerDefinitions"]] == ["run"]]  # fmt: skip
    for name, one in containers(template):
        told = text(environment(one)["DAGSTER_ECS_TASK_DEFINITION"])
        if [text(run["Family"]) for run in runs] != [told]:
            yield f"{name} is told of {told}, which is no task of a run"
    for run in runs:
        if text(run["TaskRoleArn"]) != "RunRole":
            yield "a run has the role of those that start runs"
