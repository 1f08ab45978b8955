"""Builds, deploys, finds and deletes the stack of lambdas/template.yaml, and that of a Dagster that stays.

sources        the paths of the template and of the functions' sources
packages       the code of a function: its folder and the modules of stock_pipeline that it imports
dependencies   a function's other packages, installed for a processor and a Python version, and pruned
build          puts both into one folder; `sam build` calls it for each function
sam            runs the SAM CLI: build and deploy
readiness      whether a stack can be deployed to; deletes an empty one that cannot
takeover       lets a new stack take over the buckets that an earlier one left behind
reservations   whether the account's quota has room for what the functions reserve
tags           the tags of a stack
years          the years of ticks that Athena looks for
events         why CloudFormation did not do something
stack          finds a deployed stack and reads its outputs
destroy        deletes a stack
dagster        deploys and deletes the stack of a Dagster that stays, in one of two forms
dagster_inputs what that stack is given: outputs of the pipeline, the network, image or program
template       reads the template
values         what the template's names, numbers and conditions are for given parameters
"""
