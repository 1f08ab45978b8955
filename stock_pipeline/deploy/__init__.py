"""Builds, deploys, finds and deletes the stack of lambdas/template.yaml.

sources        the paths of the template and of the functions' sources
packages       the code of a function: its folder and the modules of stock_pipeline that it imports
dependencies   a function's other packages, installed for a processor and a Python version, and pruned
build          puts both into one folder; `sam build` calls it for each function
sam            runs the SAM CLI: build and deploy
stack          finds a deployed stack and reads its outputs
destroy        deletes a stack
template       reads the template
"""
