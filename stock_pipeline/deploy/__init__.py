"""What brings the stack of lambdas/template.yaml into an AWS, and finds it there again.

sources        where the template and the functions' sources are
packages       the code of a function: its folder and the modules of stock_pipeline that it imports
dependencies   what a function imports from elsewhere, installed for a processor and a Python, without what never runs
build          both of them in one folder; `sam build` calls it for each function
template       reading the template
"""
