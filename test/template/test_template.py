"""What template.yaml becomes once SAM has expanded it, and what infra/*.yaml says.

Linters see whether a template can be deployed. These tests see whether it is the one that was
meant: who may do what, what takes traffic and when, and what stops it.
"""

import fnmatch
import logging
import os
import re
import unittest

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
REGION, ACCOUNT, STAGE = "us-east-1", "111122223333", "dev"
BUCKET = "data-bucket"
DATA = f"arn:aws:s3:::{BUCKET}"
KEY = "arn:aws:kms:us-east-1:111122223333:key/mrk-1"

HOOKS = {"pre-traffic", "post-traffic"}
BACKGROUND = {"compactor", "janitor", "retention", "operator"}
WRITERS = {"writer", "writer-1", "writer-2", "writer-3"}
READ_ROUTES = {"list-threads", "get-thread", "list-messages", "get-message", "list-revisions"}
SEAL_ROUTES = {"create-thread", "update-thread", "patch-thread", "post-message", "post-messages", "update-message"}
WRITE_ROUTES = SEAL_ROUTES | {"delete-thread", "undelete-thread", "delete-message", "undelete-message"}
READERS = READ_ROUTES | {"sign-user", "default"}
WAVES = [HOOKS, BACKGROUND, WRITERS, READERS, WRITE_ROUTES | {"admin"}]
FUNCTIONS = set().union(*WAVES)
OPENS_STORE = FUNCTIONS - HOOKS - {"sign-user"}
OPENS_TEXT = READERS | WRITE_ROUTES | {"admin", "operator"}

ALARMS = {
    "ServerErrors", "GatewayErrors", "Latency", "Throttles",
    "UnknownOutcomes", "Conflicts", "TailLength", "CheckpointAge",
}  # fmt: skip

# Allowed without naming a resource, because the service knows none for it.
WITHOUT_RESOURCE = {
    "cloudwatch:DescribeAlarms",
    "kms:CreateKey", "kms:ListAliases",
    "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
}  # fmt: skip

# Allowed by a name with a star: the key's own policy, without which nobody could change it.
WITH_WILDCARD_ACTION = {("data.yaml", "Key", "kms:*")}


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as f:
        return f.read()


def expand(**parameters):
    """template.yaml as CloudFormation gets it."""
    template = yaml_parse(read("template.yaml"))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://packages/" + resource["Properties"]["CodeUri"]
    logging.disable(logging.WARNING)
    try:
        session = boto3.Session(region_name=REGION)
        return Translator({}, Parser(), boto_session=session).translate(template, parameters, None)
    finally:
        logging.disable(logging.NOTSET)


def resolve(value, names):
    """A value without its intrinsic functions. names says what parameters and resources are."""
    if isinstance(value, list):
        resolved = [resolve(v, names) for v in value]
        return [v for v in resolved if v is not None]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (kind, of), *_ = value.items()
        if kind == "Ref":
            return None if of == "AWS::NoValue" else names.get(of, f"<{of}>")
        if kind == "Fn::GetAtt":
            of = of if isinstance(of, str) else ".".join(of)
            return names.get(of, f"<{of}>")
        if kind == "Fn::Sub":
            text, more = (of, {}) if isinstance(of, str) else of
            local = {**names, **{k: resolve(v, names) for k, v in more.items()}}
            return re.sub(r"\$\{([^}]+)\}", lambda m: str(local.get(m[1], f"<{m[1]}>")), text)
        if kind == "Fn::Join":
            return of[0].join(resolve(of[1], names))
        if kind == "Fn::Split":
            return resolve(of[1], names).split(of[0])
        if kind == "Fn::If":
            return resolve(of[1] if names["if"][of[0]] else of[2], names)
    return {k: v for k, v in ((k, resolve(v, names)) for k, v in value.items()) if v is not None}


def names(**more):
    return {
        "AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::URLSuffix": "amazonaws.com",
        "Stage": STAGE, "DataBucket": BUCKET, "KeyArn": KEY, "Bucket": BUCKET, "Bucket.Arn": DATA,
        "BackupBuckets": ["arn:aws:s3:::backup-one", "arn:aws:s3:::backup-two"],
        "ServerlessDeploymentApplication": "bobbin-dev-app",
        "if": {"TwoWriters": True, "FourWriters": True, "HasBackups": True, "MakeProvider": True, "HasTopic": True},
        **more,
    }  # fmt: skip


def listed(value):
    return value if isinstance(value, list) else [value]


def name_of(logical):
    """PostMessage is post-message, Writer1 is writer-1."""
    return re.sub(r"(?<!^)(?=[A-Z0-9])", "-", logical).lower()


def logical(name):
    return "".join(word.capitalize() for word in name.split("-"))


class Policy:
    """Statements as IAM reads them, as far as these templates go."""

    def __init__(self, statements):
        self.statements = statements

    def matches(self, effect, action, resource, context):
        return any(
            s["Effect"] == effect
            and any(fnmatch.fnmatchcase(action, a) for a in listed(s["Action"]))
            and any(fnmatch.fnmatchcase(resource, r) for r in listed(s["Resource"]))
            and all(condition(kind, keys, context) for kind, keys in s.get("Condition", {}).items())
            for s in self.statements
        )

    def allows(self, action, resource, context=None):
        context = context or {}
        return self.matches("Allow", action, resource, context) and not self.matches("Deny", action, resource, context)

    def denies(self, action, resource, context=None):
        return self.matches("Deny", action, resource, context or {})


def condition(kind, keys, context):
    def holds(key, want):
        have = context.get(key)
        if kind == "Null":
            return (have is None) == (want == "true")
        if kind == "Bool":
            return have is not None and have == want
        if kind == "StringNotEquals" or kind == "ArnNotEquals":
            return have not in listed(want)
        if kind == "StringEquals":
            return have in listed(want)
        if kind == "StringLikeIfExists":
            return have is None or any(fnmatch.fnmatchcase(have, w) for w in listed(want))
        raise AssertionError(f"a condition that this test does not know: {kind}")

    return all(holds(key, want) for key, want in keys.items())


# What is asked of the bucket, and with which header.
CREATE, SWAP, BLIND = {"s3:if-none-match": "*"}, {"s3:if-match": '"etag"'}, {}
OBJECTS = {
    "bobbin.json": "bobbin.json",
    "roots.json": "roots.json",
    "access.json": "access.json",
    "table": "tables/00ff-1",
    "KEK": "keys/kek/1",
    "user key": "keys/users/00ff/1",
    "manifest": "branches/main-7f3k2q/p000/manifest",
    "log": "branches/main-7f3k2q/p000/log/00000000000000000001",
    "segment": "branches/main-7f3k2q/p000/segments/1-2-n",
    "checkpoint": "branches/main-7f3k2q/p000/checkpoints/1-n",
    "job": "jobs/1",
    "release": "releases/1",
    "backup": "backups/one",
    "receipt": "receipts/1",
    "export": "exports/1",
    "note": "janitor/000",
}
IMMUTABLE = {"table", "log", "segment", "checkpoint"}
SWAPPED = set(OBJECTS) - IMMUTABLE - {"export", "note"}
STORE_OBJECTS = {"roots.json", "table", "manifest", "log", "segment", "checkpoint"}
RECORDS = {"job", "release", "backup", "receipt", "export"}

# The table of infra/README.md: who may do what to which object.
MAY_READ = {
    "bobbin.json": FUNCTIONS - HOOKS,
    **dict.fromkeys(STORE_OBJECTS, OPENS_STORE),
    **dict.fromkeys(("access.json", "KEK", "user key"), OPENS_TEXT),
    **dict.fromkeys(RECORDS, {"admin", "operator"}),
    "job": {"admin", "operator", "janitor"},
    "note": {"janitor"},
}
MAY_CREATE = {
    "log": WRITERS,
    **dict.fromkeys(("table", "segment", "checkpoint"), {"compactor"}),
    "user key": SEAL_ROUTES | {"admin", "operator"},
    **dict.fromkeys(SWAPPED - {"user key"}, {"operator"}),
    "export": {"operator"},
    "note": {"janitor"},
}
MAY_SWAP = {
    **dict.fromkeys(SWAPPED, {"operator"}),
    "manifest": {"operator", "compactor", "janitor"},
    "roots.json": {"operator", "janitor"},
    "export": {"operator"},
    "note": {"janitor"},
}
DELETED = STORE_OBJECTS - {"roots.json"} | {"job", "export", "note"}


class Expanded(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.template = expand()
        cls.resources = cls.template["Resources"]
        cls.functions = {
            name_of(n): r["Properties"] for n, r in cls.resources.items() if r["Type"] == "AWS::Lambda::Function"
        }

    def of_type(self, kind):
        return {n: r for n, r in self.resources.items() if r["Type"] == kind}

    def policy_of(self, function):
        """Everything that a function's role allows."""
        role = self.resources[self.functions[function]["Role"]["Fn::GetAtt"][0]]["Properties"]
        documents = [p["PolicyDocument"] for p in role.get("Policies", [])]
        for managed in role.get("ManagedPolicyArns", []):
            documents.append(self.resources[managed["Ref"]]["Properties"]["PolicyDocument"])
        return Policy([s for d in documents for s in resolve(d["Statement"], names())])


class TemplateTest(Expanded):
    def test_functions(self):
        self.assertEqual(set(self.functions), FUNCTIONS)
        for name, p in self.functions.items():
            with self.subTest(name):
                self.assertEqual(resolve(p["FunctionName"], names()), f"bobbin-{STAGE}-{name}")
                self.assertEqual(p["Runtime"], "provided.al2023")
                self.assertEqual(p["Handler"], "bootstrap")
                self.assertEqual(p["Architectures"], [{"Ref": "Arch"}])
                package = "writer" if name in WRITERS else name
                self.assertEqual(p["Code"]["S3Key"], f"dist/{package}.zip")
                group = self.resources[p["LoggingConfig"]["LogGroup"]["Ref"]]["Properties"]
                self.assertEqual(resolve(group["LogGroupName"], names()), f"/aws/lambda/bobbin-{STAGE}-{name}")
                self.assertEqual(group["RetentionInDays"], {"Ref": "LogDays"})

    def test_defaults(self):
        parameters = self.template["Parameters"]
        self.assertEqual(parameters["Arch"]["Default"], "arm64")
        self.assertEqual(parameters["WriterShards"]["Default"], "1")
        self.assertRegex(parameters["Shift"]["Default"], "^(Canary|Linear)")

    def test_environment(self):
        for name, p in self.functions.items():
            with self.subTest(name):
                got = resolve(p["Environment"]["Variables"], names(**{"if": {"FourWriters": False, "TwoWriters": False}}))
                self.assertEqual(got["BOBBIN_STORE"], "bobbin-dev")
                self.assertEqual(got["BOBBIN_RELEASE"], "<Release>")
                self.assertEqual(got["BOBBIN_BUCKET"], f"s3://{BUCKET}/store")
                self.assertEqual(got["BOBBIN_KEEPER"], f"awskms://{KEY}")
                self.assertEqual(got["BOBBIN_WRITER"], "bobbin-dev-writer:live")
                self.assertEqual(got["BOBBIN_COMPACTOR"], "bobbin-dev-compactor:live")
                self.assertEqual(got["BOBBIN_OPERATOR"], "bobbin-dev-operator:live")
                self.assertFalse([n for n in got if re.search("KEYS|SECRET|TOKEN", n)], "a variable is no place for a secret")

    def test_writers(self):
        for shards, want in (("1", 1), ("2", 2), ("4", 4)):
            with self.subTest(shards):
                when = {"TwoWriters": shards != "1", "FourWriters": shards == "4"}
                variables = self.functions["post-message"]["Environment"]["Variables"]
                told = resolve(variables["BOBBIN_WRITER"], names(**{"if": when})).split(",")
                made = [
                    resolve(r["Properties"]["FunctionName"], names()) + ":live"
                    for n, r in self.of_type("AWS::Lambda::Function").items()
                    if name_of(n) in WRITERS and when.get(r.get("Condition"), True)
                ]
                self.assertEqual(told, sorted(made, key=lambda n: (len(n), n)))
                self.assertEqual(len(told), want)

    def test_every_part_of_a_writer_is_conditional(self):
        for name in WRITERS - {"writer"}:
            parts = [r.get("Condition") for n, r in self.resources.items() if n.startswith(logical(name))]
            self.assertEqual(len(parts), 5, parts)
            self.assertEqual(len(set(parts)), 1)
            self.assertIn(parts[0], self.template["Conditions"])

    def test_deadlines_nest(self):
        api = self.resources["Api"]["Properties"]["Body"]["paths"]
        for path in api.values():
            for method in path.values():
                self.assertEqual(method["x-amazon-apigateway-integration"]["timeoutInMillis"], 30_000)
        for name in READERS | WRITE_ROUTES | {"admin"}:
            self.assertEqual(self.functions[name]["Timeout"], 25, name)
        for name in WRITERS:
            self.assertEqual(self.functions[name]["Timeout"], 12, name)

    def test_every_route_targets_an_alias(self):
        body = self.resources["Api"]["Properties"]["Body"]
        self.assertNotIn("CorsConfiguration", self.resources["Api"]["Properties"])
        self.assertNotIn("x-amazon-apigateway-cors", body)
        targets = {}
        for path, methods in body["paths"].items():
            for method, operation in methods.items():
                integration = operation["x-amazon-apigateway-integration"]
                self.assertEqual(integration["payloadFormatVersion"], "2.0")
                target = re.search(r"functions/\$\{(\w+)Aliaslive\}/invocations$", integration["uri"]["Fn::Sub"])
                self.assertTrue(target, f"{method} {path} targets {integration['uri']}")
                targets[method, path] = name_of(target[1])
        self.assertEqual(set(targets.values()), READERS | WRITE_ROUTES | {"admin"})
        self.assertEqual(targets.pop(("x-amazon-apigateway-any-method", "$default")), "default")
        self.assertEqual(targets.pop(("x-amazon-apigateway-any-method", "/admin/{proxy+}")), "admin")
        for (method, path), target in targets.items():
            if method == "get":
                self.assertEqual(targets.get(("head", path)), target, f"HEAD of {path}")
        self.assertFalse([m for m, _ in targets if m == "options"], "OPTIONS is the default function's")

    def test_only_the_api_and_schedules_call_functions(self):
        for name, r in self.of_type("AWS::Lambda::Permission").items():
            with self.subTest(name):
                self.assertTrue(r["Properties"]["FunctionName"]["Ref"].endswith("Aliaslive"))
                self.assertIn(r["Properties"]["Principal"], ("apigateway.amazonaws.com", "events.amazonaws.com"))
                self.assertIn("SourceArn", r["Properties"])
        for rule in self.of_type("AWS::Events::Rule").values():
            for target in rule["Properties"]["Targets"]:
                self.assertIn(target["Arn"], ({"Ref": "JanitorAliaslive"}, {"Ref": "RetentionAliaslive"}))

    def test_nothing_asks_twice(self):
        for name in ("compactor", "janitor", "retention"):
            config = self.resources[logical(name) + "EventInvokeConfig"]["Properties"]
            self.assertEqual((config["Qualifier"], config["MaximumRetryAttempts"]), ("live", 0), name)

    def test_versions(self):
        digest = "ab" * 32
        for n, r in expand(ReleaseDigest=digest)["Resources"].items():
            if r["Type"] == "AWS::Lambda::Version":
                self.assertTrue(n.endswith("Version" + digest[:10]), f"{n} is not of the release's digest")
                self.assertEqual(r["DeletionPolicy"], "Retain")
        for n, r in yaml_parse(read("template.yaml"))["Resources"].items():
            if r["Type"] == "AWS::Serverless::Function":
                self.assertIs(r["Properties"]["AutoPublishAliasAllProperties"], True, n)

    def test_deployments(self):
        self.assertEqual(len(self.of_type("AWS::Lambda::Alias")), len(FUNCTIONS))
        for name in FUNCTIONS:
            with self.subTest(name):
                group = self.resources[logical(name) + "DeploymentGroup"]["Properties"]
                alarms = [resolve(a["Name"], {}) for a in group["AlarmConfiguration"]["Alarms"]]
                self.assertEqual(sorted(alarms), sorted(f"<Alarms.Outputs.{a}>" for a in ALARMS))
                self.assertTrue(group["AlarmConfiguration"]["Enabled"])
                self.assertIn("DEPLOYMENT_STOP_ON_ALARM", group["AutoRollbackConfiguration"]["Events"])
                config = resolve(group["DeploymentConfigName"], {})
                shifts = name in WRITERS | READERS | WRITE_ROUTES | {"admin"}
                self.assertEqual(
                    config, "CodeDeployDefault.Lambda" + ("Canary10Percent10Minutes" if shifts else "AllAtOnce")
                )
                update = self.resources[logical(name) + "Aliaslive"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
                self.assertEqual(update["DeploymentGroupName"], {"Ref": logical(name) + "DeploymentGroup"})
                hooks = (update.get("BeforeAllowTrafficHook"), update.get("AfterAllowTrafficHook"))
                want = (None, None) if name in HOOKS else ({"Ref": "PreTraffic"}, {"Ref": "PostTraffic"})
                self.assertEqual(hooks, want)

    def test_shift_is_a_parameter(self):
        for shift in ("Linear10PercentEvery1Minute", "AllAtOnce"):
            group = expand(Shift=shift)["Resources"]["WriterDeploymentGroup"]["Properties"]
            self.assertEqual(resolve(group["DeploymentConfigName"], {}), "CodeDeployDefault.Lambda" + shift)

    def test_waves(self):
        roles = []
        for wave, functions in enumerate(WAVES):
            before = WAVES[wave - 1] if wave else set()
            used = set()
            for name in functions:
                with self.subTest(name):
                    depends = self.resources[logical(name)].get("DependsOn", [])
                    self.assertEqual(sorted(depends), sorted(logical(n) + "Aliaslive" for n in before))
                    group = self.resources[logical(name) + "DeploymentGroup"]["Properties"]
                    used.add(group["ServiceRoleArn"]["Fn::GetAtt"][0])
            self.assertEqual(len(used), 1, f"wave {wave}")
            roles += used
        self.assertEqual(len(set(roles)), len(WAVES), "one role a wave")

    def test_resources(self):
        count = len(self.resources)
        for nested in ("alarms", "dashboard"):
            count += len(yaml_parse(read(f"infra/{nested}.yaml"))["Resources"])
        self.assertLessEqual(count, 450)


class RoleTest(Expanded):
    """The roles of the functions against the table."""

    def check(self, action, may, context):
        for function in sorted(FUNCTIONS):
            policy = self.policy_of(function)
            for kind, key in OBJECTS.items():
                for store in ("store", "rehearsal-1"):
                    got = policy.allows(action, f"{DATA}/{store}/{key}", context)
                    want = function in may.get(kind, set())
                    if got != want:
                        self.fail(f"{function} {'may' if got else 'may not'} {action} {store}/{key} with {context}")
                self.assertFalse(policy.allows(action, f"{DATA}/elsewhere/{key}", context), f"{function} {kind}")

    def test_reads(self):
        self.check("s3:GetObject", MAY_READ, {})

    def test_creates(self):
        self.check("s3:PutObject", MAY_CREATE, CREATE)

    def test_swaps(self):
        self.check("s3:PutObject", MAY_SWAP, SWAP)

    def test_nobody_overwrites_blindly(self):
        self.check("s3:PutObject", {}, BLIND)

    def test_only_the_janitor_deletes(self):
        self.check("s3:DeleteObject", dict.fromkeys(DELETED, {"janitor"}), {})

    def test_every_reader_lists(self):
        for function in sorted(FUNCTIONS):
            policy = self.policy_of(function)
            for kind, key in OBJECTS.items():
                if function in MAY_READ[kind]:
                    with self.subTest(function=function, kind=kind):
                        self.assertTrue(policy.allows("s3:ListBucket", DATA, {"s3:prefix": f"store/{key}"}))
                        self.assertTrue(policy.allows("s3:ListBucket", DATA), "a GET of a missing key names no prefix")
            self.assertFalse(policy.allows("s3:ListBucket", DATA, {"s3:prefix": "elsewhere/"}), function)
            self.assertFalse(policy.allows("s3:ListBucket", "arn:aws:s3:::another"), function)

    def test_keys(self):
        for function in sorted(FUNCTIONS):
            policy = self.policy_of(function)
            self.assertEqual(policy.allows("kms:Decrypt", KEY), function in OPENS_TEXT, function)
            self.assertEqual(policy.allows("kms:Encrypt", KEY), function == "operator", function)
            self.assertFalse(policy.allows("kms:Decrypt", KEY + "2"), function)
            for action in ("kms:GenerateDataKey", "kms:ScheduleKeyDeletion", "kms:PutKeyPolicy", "kms:DisableKey"):
                self.assertFalse(policy.allows(action, KEY), f"{function} {action}")

    def test_invokes(self):
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:bobbin-{STAGE}-"
        for function in sorted(FUNCTIONS):
            policy = self.policy_of(function)
            for target in sorted(FUNCTIONS):
                want = (
                    (target in WRITERS and function in WRITE_ROUTES | {"admin", "operator", "retention"})
                    or (target == "compactor" and function in WRITERS)
                    or (target == "operator" and function in {"admin", "operator"})
                )
                with self.subTest(function=function, target=target):
                    got = policy.allows("lambda:InvokeFunction", arn + target + ":live")
                    self.assertEqual(got, want or function in HOOKS)
                    self.assertEqual(policy.allows("lambda:InvokeFunction", arn + target + ":7"), function in HOOKS)
                    self.assertFalse(policy.allows("lambda:InvokeFunction", arn + target))
                    self.assertEqual(policy.allows("lambda:GetAlias", arn + target), function == "operator")
            other = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:bobbin-prod-writer:live"
            self.assertFalse(policy.allows("lambda:InvokeFunction", other), function)

    def test_hooks_report(self):
        group = f"arn:aws:codedeploy:{REGION}:{ACCOUNT}:deploymentgroup:bobbin-dev-app/g"
        for function in sorted(FUNCTIONS):
            for action in ("codedeploy:PutLifecycleEventHookExecutionStatus", "codedeploy:GetDeployment"):
                self.assertEqual(self.policy_of(function).allows(action, group), function in HOOKS, function)

    def test_backups(self):
        for function in sorted(FUNCTIONS):
            policy = self.policy_of(function)
            for bucket in ("backup-one", "backup-two"):
                arn = f"arn:aws:s3:::{bucket}"
                for action, context in (("s3:GetObject", {}), ("s3:PutObject", CREATE), ("s3:PutObject", SWAP)):
                    self.assertEqual(policy.allows(action, f"{arn}/any/key", context), function == "operator")
                self.assertEqual(policy.allows("s3:ListBucket", arn), function == "operator")
                self.assertFalse(policy.allows("s3:PutObject", f"{arn}/any/key", BLIND))
                self.assertFalse(policy.allows("s3:DeleteObject", f"{arn}/any/key"))

    def test_nothing_else(self):
        """Actions that no line of the table speaks of are allowed to nobody."""
        known = {
            "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "kms:Decrypt", "kms:Encrypt",
            "lambda:InvokeFunction", "lambda:GetAlias", "logs:CreateLogStream", "logs:PutLogEvents",
            "codedeploy:GetDeployment", "codedeploy:PutLifecycleEventHookExecutionStatus",
        }  # fmt: skip
        for function in sorted(FUNCTIONS):
            for s in self.policy_of(function).statements:
                self.assertLessEqual(set(listed(s["Action"])), known, function)
                self.assertEqual(s["Effect"], "Allow")


class InfraTest(unittest.TestCase):
    def setUp(self):
        self.data = yaml_parse(read("infra/data.yaml"))["Resources"]
        document = self.data["BucketPolicy"]["Properties"]["PolicyDocument"]
        self.policy = Policy(resolve(document["Statement"], names()))
        self.caller = {
            "aws:SecureTransport": "true",
            "aws:PrincipalAccount": ACCOUNT,
            "aws:PrincipalIsAWSService": "false",
            "aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/anybody",
        }

    def denies(self, action, key, context):
        return self.policy.denies(action, f"{DATA}/{key}" if key else DATA, {**self.caller, **context})

    def test_bucket_denies_writes_without_a_condition(self):
        for store in ("store", "rehearsal-1"):
            for kind, key in OBJECTS.items():
                with self.subTest(store=store, kind=kind):
                    self.assertEqual(self.denies("s3:PutObject", f"{store}/{key}", BLIND), kind not in ("export", "note"))
                    self.assertEqual(self.denies("s3:PutObject", f"{store}/{key}", SWAP), kind in IMMUTABLE)
                    self.assertFalse(self.denies("s3:PutObject", f"{store}/{key}", CREATE))
                    self.assertFalse(self.denies("s3:GetObject", f"{store}/{key}", {}))

    def test_bucket_denies_deletes_to_all_but_the_janitor(self):
        janitor = {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/bobbin-{STAGE}-janitor"}
        for action in ("s3:DeleteObject", "s3:DeleteObjectVersion"):
            for key in OBJECTS.values():
                self.assertTrue(self.denies(action, f"store/{key}", {}))
                self.assertFalse(self.denies(action, f"store/{key}", janitor))
        self.assertTrue(self.denies("s3:DeleteBucket", "", janitor))
        role = expand()["Resources"]["JanitorRole"]["Properties"]["RoleName"]
        self.assertEqual(resolve(role, names()), f"bobbin-{STAGE}-janitor")

    def test_bucket_denies_plaintext_and_the_world(self):
        for action, key in (("s3:GetObject", "store/tables/1"), ("s3:PutObject", "store/tables/1"), ("s3:ListBucket", "")):
            self.assertTrue(self.denies(action, key, {"aws:SecureTransport": "false", **CREATE}))
            self.assertTrue(self.denies(action, key, {"aws:PrincipalAccount": "999988887777", **CREATE}))
            self.assertTrue(self.denies(action, key, {"aws:PrincipalAccount": None, **CREATE}))
        block = self.data["Bucket"]["Properties"]["PublicAccessBlockConfiguration"]
        self.assertEqual(len(block), 4)
        self.assertTrue(all(block.values()))

    def test_data_is_kept(self):
        for name in ("Bucket", "BucketPolicy", "Key"):
            self.assertEqual(self.data[name]["DeletionPolicy"], "Retain", name)
            self.assertEqual(self.data[name]["UpdateReplacePolicy"], "Retain", name)
        self.assertNotIn("VersioningConfiguration", self.data["Bucket"]["Properties"])
        self.assertIs(self.data["Key"]["Properties"]["MultiRegion"], True)
        for rule in self.data["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]:
            if "ExpirationInDays" in rule:
                self.assertEqual(rule["Prefix"], "rehearsal-", "nothing of the store expires by itself")

    def test_wildcards(self):
        for file in ("template.yaml", "data.yaml", "alarms.yaml", "dashboard.yaml", "deploy-role.yaml"):
            template = expand() if file == "template.yaml" else yaml_parse(read("infra/" + file))
            for name, resource in template["Resources"].items():
                for s in statements(resolve(resource, names())):
                    if s["Effect"] != "Allow":
                        continue
                    for action in listed(s["Action"]):
                        with self.subTest(file=file, resource=name, action=action):
                            if "*" in action:
                                self.assertIn((file, name, action), WITH_WILDCARD_ACTION)
                            elif "*" in listed(s.get("Resource", "")):
                                self.assertIn(action, WITHOUT_RESOURCE)

    def test_alarms(self):
        template = yaml_parse(read("infra/alarms.yaml"))
        alarms = {n: r["Properties"] for n, r in template["Resources"].items() if r["Type"] == "AWS::CloudWatch::Alarm"}
        self.assertEqual(set(alarms), ALARMS)
        filters = [r for r in template["Resources"].values() if r["Type"] == "AWS::Logs::MetricFilter"]
        at_gateway = {t["MetricName"] for f in filters for t in f["Properties"]["MetricTransformations"]}
        emitted = set(re.findall(r'^\t\{"(\w+)", "', read("shared/telemetry/emf.go"), re.M))
        self.assertIn("Requests", emitted)
        for name, p in alarms.items():
            with self.subTest(name):
                self.assertEqual(p["TreatMissingData"], "notBreaching", "an idle store has no data")
                metrics = [m["MetricStat"]["Metric"] for m in resolve(p.get("Metrics", []), names()) if "MetricStat" in m]
                for m in metrics or [resolve(p, names())]:
                    dimensions = {d["Name"] for d in m["Dimensions"]}
                    if m["Namespace"] == "Bobbin" and m["MetricName"] in at_gateway:
                        self.assertEqual(dimensions, {"Store"})
                    elif m["Namespace"] == "Bobbin":
                        self.assertIn(m["MetricName"], emitted)
                        self.assertEqual(dimensions, {"Store", "Release"})
                    else:
                        self.assertEqual((m["Namespace"], m["MetricName"]), ("AWS/Lambda", "Throttles"))
        rule = resolve(template["Resources"]["Store"]["Properties"]["AlarmRule"], names())
        self.assertEqual(set(re.findall(r'ALARM\("<(\w+)>"\)', rule)), ALARMS)
        self.assertEqual(set(template["Outputs"]), ALARMS | {"Store", "Arns"})

    def test_alarms_watch_before_functions_change(self):
        depends = str(expand()["Resources"]["PreTrafficDeploymentGroup"])
        self.assertIn("Alarms", depends)
        parameters = expand()["Resources"]["Alarms"]["Properties"]["Parameters"]
        self.assertEqual(parameters["Release"], {"Ref": "Release"})
        self.assertNotIn("ApiId", parameters, "the API needs aliases, which need the alarms")

    def test_gateway_log_names_nobody(self):
        written = expand()["Resources"]["ApiApiGatewayDefaultStage"]["Properties"]["AccessLogSettings"]["Format"]
        for secret in ("sourceIp", "userAgent", "path", "queryString", "authorizer", "identity"):
            self.assertNotIn(secret, str(written))

    def test_who_deploys(self):
        resources = yaml_parse(read("infra/deploy-role.yaml"))["Resources"]
        trust = resources["DeployRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        self.assertEqual(len(trust), 1)
        equals = resolve(trust[0]["Condition"], names())["StringEquals"]
        self.assertEqual(
            equals["token.actions.githubusercontent.com:sub"], "repo:<Repository>:environment:<Environment>"
        )
        self.assertEqual(equals["token.actions.githubusercontent.com:aud"], "sts.amazonaws.com")
        for role in ("DeployRole", "StackRole"):
            policy = resources[role]["Properties"]["Policies"][0]["PolicyDocument"]
            allowed = Policy(resolve(policy["Statement"], names()))
            for action in ("s3:DeleteObject", "s3:GetObject", "s3:PutObject", "s3:DeleteBucket"):
                self.assertFalse(allowed.allows(action, f"arn:aws:s3:::bobbin-{STAGE}-data-1/store/tables/1"), role)
            self.assertFalse(allowed.allows("kms:Decrypt", KEY), role)
            self.assertFalse(allowed.allows("kms:ScheduleKeyDeletion", KEY), role)
            for own in ("deploy", "stack"):
                arn = f"arn:aws:iam::{ACCOUNT}:role/bobbin-{STAGE}-{own}"
                self.assertFalse(allowed.allows("iam:PutRolePolicy", arn), role)


def statements(value):
    """Every statement of a policy within value."""
    if isinstance(value, list):
        for v in value:
            yield from statements(v)
    elif isinstance(value, dict):
        if "Effect" in value and "Action" in value:
            yield value
        for v in value.values():
            yield from statements(v)


if __name__ == "__main__":
    unittest.main()
