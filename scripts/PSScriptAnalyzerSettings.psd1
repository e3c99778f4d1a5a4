# What PSScriptAnalyzer looks for in the scripts for Windows; scripts/analyze.ps1 runs it.
# https://learn.microsoft.com/powershell/utility-modules/psscriptanalyzer/rules/readme
@{
    # Information is matters of style, which are ours.
    Severity = @('Error', 'Warning')

    ExcludeRules = @(
        # bootstrap and tests/windows speak to the person in front of the machine, and to nobody else.
        'PSAvoidUsingWriteHost',
        # Functions here are parts of one script, not commands that somebody calls with -WhatIf: a plan is made by pyinfra.
        'PSUseShouldProcessForStateChangingFunctions',
        # Get-Seconds gives seconds.
        'PSUseSingularNouns',
        # Every script takes -InputJson, also one that needs nothing.
        'PSReviewUnusedParameter'
    )

    Rules = @{
        # No ternary, no ??, no && of PowerShell 7.
        # https://learn.microsoft.com/powershell/utility-modules/psscriptanalyzer/rules/usecompatiblesyntax
        PSUseCompatibleSyntax = @{
            Enable = $true
            TargetVersions = @('5.1')
        }
        # Commands and parameters, and .NET types and members, of Windows PowerShell 5.1 on Windows 10 Pro: of Windows 11 it has
        # no table.
        # https://learn.microsoft.com/powershell/utility-modules/psscriptanalyzer/rules/usecompatiblecommands
        PSUseCompatibleCommands = @{
            Enable = $true
            TargetProfiles = @(
                'win-48_x64_10.0.17763.0_5.1.17763.316_x64_4.0.30319.42000_framework'
            )
        }
        PSUseCompatibleTypes = @{
            Enable = $true
            TargetProfiles = @(
                'win-48_x64_10.0.17763.0_5.1.17763.316_x64_4.0.30319.42000_framework'
            )
        }
    }
}
