"""Faults that somebody might make in the templates of the Dagster that stays, with the rule that must catch each."""

from __future__ import annotations

from typing import Any

from stock_pipeline_tests.lambdas.edits import (
    Edit,
    changed,
    condition,
    forbidden,
    holder,
    parameter,
    properties,
    put,
    removed,
    retained,
    trust,
    with_value,
    without,
)

EXACT = "each_role_may_do_what_its_place_takes_and_no_more"
BOUND = "wide_permissions_are_bound_by_a_condition"
ONE = "there_is_never_a_second_daemon"
WORKS = "a_part_that_does_not_work_is_started_again"
KEPT = "the_history_is_private_encrypted_and_backed_up"
RINGS = "what_stands_still_or_runs_full_rings"
CLOSED = "no_port_is_open_but_from_the_tasks_to_the_database"
SESSION = "people_come_in_by_a_session"
WIDE = {"IpProtocol": "tcp", "FromPort": 3000, "ToPort": 3000, "CidrIp": "0.0.0.0/0"}


def container(task: str, at: int, value: Any, *path: str) -> Edit:
    """Sets something of a container, or removes it (None)."""

    def edit(template: dict[str, Any]) -> None:
        put(properties(template, task)["ContainerDefinitions"][at], value, *path)

    return edit


def written(name: str, value: str) -> Edit:
    """Adds a variable to the environment of the daemon."""

    def edit(template: dict[str, Any]) -> None:
        properties(template, "Task")["ContainerDefinitions"][2]["Environment"].append({"Name": name, "Value": value})

    return edit


def updated(value: Any, *path: str) -> Edit:
    """Sets something of the policies of the machine's group, which stand beside its properties."""

    def edit(template: dict[str, Any]) -> None:
        holder(template["Resources"]["Machine"], *path)[path[-1]] = value

    return edit


def added(name: str, kind: str) -> Edit:
    def edit(template: dict[str, Any]) -> None:
        template["Resources"][name] = {"Type": kind, "Properties": {}}

    return edit


ECS: dict[str, tuple[Edit, str]] = {
    "a role may do all of ECS": (changed("TaskRole", "StartRuns", Action="ecs:*"), "no_action_is_a_wildcard"),
    "a role ignores the boundary": (without("RunRole", "PermissionsBoundary"), "every_role_can_be_bounded"),
    "any account's alarms may publish": (
        condition("AlarmsPolicy", "AlarmsMayPublish", "StringEquals"),
        "nobody_is_let_in_by_a_resource",
    ),
    "logs can be made public": (without("RunLogs", "PublicAccessBlockConfiguration"), "buckets_are_private"),
    "the bucket is in the world's namespace": (
        without("RunLogs", "BucketNamespace"),
        "bucket_names_are_of_one_account_and_region",
    ),
    "logs are read without TLS": (removed("RunLogsPolicy"), "only_tls_is_answered"),
    "an alarm rings nowhere": (with_value("TaskCpuAlarm", [], "AlarmActions"), "alarms_reach_the_topic"),
    "an alarm has a name that may not publish": (
        with_value("TaskCpuAlarm", "cpu", "AlarmName"),
        "alarms_reach_the_topic",
    ),
    "an alarm rings when there is nothing": (
        with_value("TaskCpuAlarm", "breaching", "TreatMissingData"),
        "alarms_are_silent_while_nothing_is_wrong",
    ),
    "a parameter is not explained": (
        parameter("Cpu", "Description", "Processor."),
        "every_parameter_is_explained_and_in_one_group",
    ),
    "runs cannot be started": (forbidden("TaskRole", "StartRuns", "ecs:RunTask"), EXACT),
    "runs cannot be ended": (forbidden("TaskRole", "FollowAndEndRuns", "ecs:StopTask"), EXACT),
    "runs cannot be told apart": (forbidden("TaskRole", "TagRuns", "ecs:TagResource"), EXACT),
    "any task may be started": (changed("TaskRole", "StartRuns", Resource="*"), EXACT),
    "any role may be passed": (changed("TaskRole", "GiveRunsTheirRoles", Resource="*"), EXACT),
    "a container cannot fetch its image": (forbidden("ExecutionRole", "FetchImage", "ecr:BatchGetImage"), EXACT),
    "a container gets no password": (
        forbidden("ExecutionRole", "ReadPassword", "secretsmanager:GetSecretValue"),
        EXACT,
    ),
    "a container reads every secret": (changed("ExecutionRole", "ReadPassword", Resource="*"), EXACT),
    "a container cannot log": (forbidden("ExecutionRole", "WriteLogs", "logs:PutLogEvents"), EXACT),
    "alerts cannot be sent": (forbidden("TaskRole", "Alert", "sns:Publish"), EXACT),
    "nobody can forward the port": (forbidden("TaskRole", "BeReached", "ssmmessages:OpenDataChannel"), EXACT),
    "a run's output is lost": (forbidden("RunRole", "KeepRunLogs", "s3:PutObject"), EXACT),
    "runs may start in any cluster": (condition("TaskRole", "StartRuns", "ArnEquals"), BOUND),
    "roles may be passed to any service": (condition("TaskRole", "GiveRunsTheirRoles", "StringEquals"), BOUND),
    "tags may be changed at any time": (condition("TaskRole", "TagRuns", "StringEquals"), BOUND),
    "runs lack the pipeline's permissions": (
        without("RunRole", "ManagedPolicyArns"),
        "dagster_has_the_policies_of_the_pipeline_and_others_have_none",
    ),
    "a role has a policy of AWS": (
        with_value("ExecutionRole", ["arn:aws:iam::aws:policy/AdministratorAccess"], "ManagedPolicyArns"),
        "dagster_has_the_policies_of_the_pipeline_and_others_have_none",
    ),
    "everybody may take the role": (
        trust("TaskRole", Principal={"AWS": "*"}),
        "roles_are_for_one_service_of_this_account",
    ),
    "tasks of other accounts may take the role": (
        trust("TaskRole", Condition={}),
        "roles_are_for_one_service_of_this_account",
    ),
    "the UI is open": (with_value("TaskGroup", [WIDE], "SecurityGroupIngress"), CLOSED),
    "the database is open": (with_value("DatabaseGroup", [{**WIDE, "ToPort": 5432}], "SecurityGroupIngress"), CLOSED),
    "a container maps a port": (container("Task", 1, [{"ContainerPort": 3000}], "PortMappings"), CLOSED),
    "there is a load balancer": (added("Front", "AWS::ElasticLoadBalancingV2::LoadBalancer"), CLOSED),
    "a task may send anything anywhere": (without("TaskGroup", "SecurityGroupEgress"), "what_goes_out_is_named"),
    "a task may send mail": (
        with_value("TaskGroup", [{**WIDE, "FromPort": 25, "ToPort": 25}], "SecurityGroupEgress"),
        "what_goes_out_is_named",
    ),
    "the UI cannot be reached": (with_value("Service", False, "EnableExecuteCommand"), SESSION),
    "there are two tasks": (with_value("Service", 2, "DesiredCount"), ONE),
    "a deployment begins the new task first": (
        with_value("Service", 200, "DeploymentConfiguration", "MaximumPercent"),
        ONE,
    ),
    "a deployment waits for the old task for ever": (
        with_value("Service", 100, "DeploymentConfiguration", "MinimumHealthyPercent"),
        ONE,
    ),
    "the service scales": (added("Scaling", "AWS::ApplicationAutoScaling::ScalableTarget"), ONE),
    "a task has a second daemon": (
        container("Task", 1, ["python", "-m", "stock_pipeline", "serve", "daemon"], "Command"),
        ONE,
    ),
    "zombies stay": (container("Run", 0, {}, "LinuxParameters"), WORKS),
    "a daemon that has ended is not missed": (container("Task", 2, False, "Essential"), WORKS),
    "nobody asks whether the daemon works": (container("Task", 2, None, "HealthCheck"), WORKS),
    "the webserver is asked about the daemon": (
        container(
            "Task", 2, ["CMD", "python", "-m", "stock_pipeline.local.dev.alive", "webserver"], "HealthCheck", "Command"
        ),
        WORKS,
    ),
    "a broken version is tried for ever": (
        without("Service", "DeploymentConfiguration", "DeploymentCircuitBreaker"),
        WORKS,
    ),
    "all make the tables of the database at once": (
        container("Task", 2, None, "DependsOn"),
        "containers_start_one_after_the_other",
    ),
    "the daemon works on another lake": (
        written("STOCK_PIPELINE_LAKE_BUCKET", "another"),
        "every_process_has_the_same_place",
    ),
    "a run has no password": (container("Run", 0, [], "Secrets"), "every_process_has_the_same_place"),
    "the launcher is told of another task": (
        with_value("Run", "another", "Family"),
        "every_run_has_the_task_that_the_launcher_is_told_of",
    ),
    "a run may start runs": (
        with_value("Run", {"Fn::GetAtt": ["TaskRole", "Arn"]}, "TaskRoleArn"),
        "every_run_has_the_task_that_the_launcher_is_told_of",
    ),
    "the history goes with the stack": (
        retained("History", "DeletionPolicy"),
        "the_history_outlives_the_stack",
    ),
    "the history goes when it is replaced": (
        retained("History", "UpdateReplacePolicy"),
        "the_history_outlives_the_stack",
    ),
    "the history is not encrypted": (with_value("History", False, "StorageEncrypted"), KEPT),
    "the database has a public address": (with_value("History", True, "PubliclyAccessible"), KEPT),
    "somebody knows the password": (with_value("History", "known", "MasterUserPassword"), KEPT),
    "the database has no backups": (with_value("History", 0, "BackupRetentionPeriod"), KEPT),
    "the database does not grow": (without("History", "MaxAllocatedStorage"), KEPT),
    "logs stay for good": (without("RunLog", "RetentionInDays"), "logs_are_kept_for_a_time"),
    "what runs print stays for good": (without("RunLogs", "LifecycleConfiguration"), "logs_are_kept_for_a_time"),
    "a container logs nowhere": (container("Task", 0, None, "LogConfiguration"), "logs_are_kept_for_a_time"),
    "the password is in the open": (written("DAGSTER_POSTGRES_PASSWORD", "x"), "no_secret_is_written_down"),
    "nobody hears that no task runs": (removed("NotRunningAlarm"), RINGS),
    "silence counts as health": (with_value("NotRunningAlarm", "notBreaching", "TreatMissingData"), RINGS),
    "nobody hears that the database is full": (removed("DatabaseStorageAlarm"), RINGS),
    "nobody hears that the database is busy": (removed("DatabaseCpuAlarm"), RINGS),
    "any class of database is taken": (
        parameter("DatabaseClass", "AllowedPattern", None),
        "a_wrong_value_is_refused_before_anything_is_made",
    ),
    "a size must be given": (parameter("Cpu", "Default", None), "a_wrong_value_is_refused_before_anything_is_made"),
}

SMALL: dict[str, tuple[Edit, str]] = {
    "the machine cannot take its volume": (forbidden("MachineRole", "TakeVolume", "ec2:AttachVolume"), EXACT),
    "the machine may take any volume": (changed("MachineRole", "TakeVolume", Resource="*"), EXACT),
    "the machine cannot measure": (forbidden("MachineRole", "Measure", "cloudwatch:PutMetricData"), EXACT),
    "the machine cannot be reached": (forbidden("MachineRole", "BeReached", "ssm:UpdateInstanceInformation"), EXACT),
    "no snapshot can be made": (forbidden("SnapshotRole", "TakeSnapshots", "ec2:CreateSnapshot"), EXACT),
    "any metric may be sent": (condition("MachineRole", "Measure", "StringEquals"), BOUND),
    "any snapshot may be deleted": (condition("SnapshotRole", "DropOldSnapshots", "StringEquals"), BOUND),
    "a port of the machine is open": (with_value("MachineGroup", [WIDE], "SecurityGroupIngress"), CLOSED),
    "the machine may send anything anywhere": (
        without("MachineGroup", "SecurityGroupEgress"),
        "what_goes_out_is_named",
    ),
    "the machine can be entered with a key": (
        with_value("MachineTemplate", "mine", "LaunchTemplateData", "KeyName"),
        SESSION,
    ),
    "the role can be fetched from the machine": (
        without("MachineTemplate", "LaunchTemplateData", "MetadataOptions"),
        SESSION,
    ),
    "there may be two machines": (with_value("Machine", "2", "MaxSize"), ONE),
    "a failed machine runs beside the next": (without("Machine", "InstanceMaintenancePolicy"), ONE),
    "an update begins the new machine first": (
        updated(1, "UpdatePolicy", "AutoScalingRollingUpdate", "MinInstancesInService"),
        ONE,
    ),
    "a deployment ends before Dagster answers": (updated({}, "CreationPolicy"), WORKS),
    "the volume goes with the stack": (retained("History", "DeletionPolicy"), "the_history_outlives_the_stack"),
    "the volume is not encrypted": (with_value("History", False, "Encrypted"), KEPT),
    "snapshots are off": (with_value("Snapshots", "DISABLED", "State"), KEPT),
    "nobody makes snapshots of the volume": (without("History", "Tags"), KEPT),
    "the machine's disk is not encrypted": (
        with_value("MachineTemplate", [{"Ebs": {}}], "LaunchTemplateData", "BlockDeviceMappings"),
        KEPT,
    ),
    "nobody hears that a part does not answer": (removed("NotRunningAlarm"), RINGS),
    "nobody hears that the volume is full": (removed("HistoryStorageAlarm"), RINGS),
    "a machine that has vanished is silent": (with_value("NotRunningAlarm", "ignore", "TreatMissingData"), RINGS),
}

FAULTS = {"ecs": ECS, "small": SMALL}
"""Edits of the templates by their form: each makes one fault."""
