# Reads one task in the folder \vengeance of Task Scheduler, and which account a user's name means. Changes nothing.
#
# in:   {"name": "wsl keepalive", "user": null}                         null: the account that this script runs as
# out:  {"account": "VENGEANCE\\Steam", "task": {"definition": {"description": "",
#        "command": "C:\\Program Files\\WSL\\wsl.exe", "arguments": "-d Ubuntu-24.04", "working_directory": "",
#        "user": "VENGEANCE\\Steam", "logon": "password", "highest": true, "triggers": ["boot", "every 900"],
#        "time_limit": 0, "priority": 5, "restart_count": 0, "restart_interval": 0, "on_battery": true,
#        "instances": "ignore_new", "conditions": [], "enabled": true}, "state": "running",
#        "registered": "2026-02-09T07:12:44Z", "password_set": "2026-01-22T18:03:11Z",
#        "last_run": "2026-02-09T07:13:02Z", "last_result": 267009}}
#       no such account: account null; no such task: task null
#
# Times in seconds; a task that does not look like one of ours has triggers "other", another logon, or command "".
# The objects of Task Scheduler give numbers and texts that do not depend on the language of Windows.
# https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-objects
# https://learn.microsoft.com/windows/win32/api/taskschd/ne-taskschd-task_logon_type (and the enumerations beside it)
# LastRunTime of a task that never ran is a day in 1899 or 1999.
# https://learn.microsoft.com/powershell/module/microsoft.powershell.localaccounts/get-localuser (PasswordLastSet)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

function Get-Seconds([string] $duration) {
    if ($duration -eq '') { return 0 }
    return [int] [Xml.XmlConvert]::ToTimeSpan($duration).TotalSeconds
}

function Get-Account([string] $name) {
    # A bare name that is also the computer's would mean the computer.
    if ($name -eq $env:COMPUTERNAME) { $name = "$name\$name" }
    try {
        if ($name -like 'S-1-*') {
            $sid = New-Object -TypeName Security.Principal.SecurityIdentifier -ArgumentList $name
        }
        else {
            $account = New-Object -TypeName Security.Principal.NTAccount -ArgumentList $name
            $sid = $account.Translate([Security.Principal.SecurityIdentifier])
        }
        return $sid.Translate([Security.Principal.NTAccount]).Value
    }
    catch [Security.Principal.IdentityNotMappedException] { return $null }
}

function Get-Trigger($trigger) {
    $bare = $trigger.Enabled -and [string] $trigger.EndBoundary -eq '' -and [string] $trigger.ExecutionTimeLimit -eq ''
    $every = Get-Seconds ([string] $trigger.Repetition.Interval)
    if (-not $bare) { return 'other' }
    if ($trigger.Type -eq 1) {
        if ($every -gt 0 -and [string] $trigger.Repetition.Duration -eq '') { return "every $every" }
        return 'other'
    }
    if ($every -ne 0 -or [string] $trigger.Delay -ne '') { return 'other' }
    if ($trigger.Type -eq 8) { return 'boot' }
    if ($trigger.Type -eq 9 -and [string] $trigger.UserId -ne '') { return "logon $(Get-Account $trigger.UserId)" }
    return 'other'
}

function Get-Definition($task) {
    $definition = $task.Definition
    $settings = $definition.Settings
    $command = ''
    $arguments = ''
    $directory = ''
    if ($definition.Actions.Count -eq 1) {
        foreach ($action in $definition.Actions) {
            if ($action.Type -eq 0) {
                $command = [string] $action.Path
                $arguments = [string] $action.Arguments
                $directory = [string] $action.WorkingDirectory
            }
        }
    }
    $triggers = @(foreach ($trigger in $definition.Triggers) { Get-Trigger $trigger })
    $conditions = @()
    if ($settings.RunOnlyIfIdle) { $conditions += 'idle' }
    if ($settings.RunOnlyIfNetworkAvailable) { $conditions += 'network' }
    $logons = 'none', 'password', 's4u', 'interactive', 'group', 'service', 'interactive or password'
    $instances = 'parallel', 'queue', 'ignore_new', 'stop_existing'
    return [ordered] @{
        description = [string] $definition.RegistrationInfo.Description
        command = $command
        arguments = $arguments
        working_directory = $directory
        user = [string] (Get-Account ([string] $definition.Principal.UserId))
        logon = $logons[[int] $definition.Principal.LogonType]
        highest = [int] $definition.Principal.RunLevel -eq 1
        triggers = $triggers
        time_limit = Get-Seconds ([string] $settings.ExecutionTimeLimit)
        priority = [int] $settings.Priority
        restart_count = [int] $settings.RestartCount
        restart_interval = Get-Seconds ([string] $settings.RestartInterval)
        on_battery = -not ($settings.DisallowStartIfOnBatteries -or $settings.StopIfGoingOnBatteries)
        instances = $instances[[int] $settings.MultipleInstances]
        conditions = $conditions
        enabled = [bool] $task.Enabled
    }
}

function Get-PasswordSet([string] $account) {
    $local = "$env:COMPUTERNAME\"
    if (-not $account.StartsWith($local, [StringComparison]::OrdinalIgnoreCase)) { return $null }
    $user = Get-LocalUser -Name $account.Substring($local.Length) -ErrorAction SilentlyContinue
    if ($null -eq $user -or $null -eq $user.PasswordLastSet) { return $null }
    return $user.PasswordLastSet.ToUniversalTime().ToString('s') + 'Z'
}

function Get-Task($task) {
    $definition = Get-Definition $task
    $registered = $null
    $written = [string] $task.Definition.RegistrationInfo.Date
    if ($written -ne '') {
        $moment = [Xml.XmlConvert]::ToDateTime($written, [Xml.XmlDateTimeSerializationMode]::Utc)
        $registered = $moment.ToString('s') + 'Z'
    }
    $ran = $null
    if ($task.LastRunTime.Year -gt 2000) { $ran = $task.LastRunTime.ToUniversalTime().ToString('s') + 'Z' }
    $result = [long] $task.LastTaskResult
    if ($result -lt 0) { $result += 4294967296 }
    $states = 'unknown', 'disabled', 'queued', 'ready', 'running'
    return [ordered] @{
        definition = $definition
        state = $states[[int] $task.State]
        registered = $registered
        password_set = Get-PasswordSet $definition.user
        last_run = $ran
        last_result = $result
    }
}

function Find-Task([string] $name) {
    foreach ($folder in $service.GetFolder('\').GetFolders(0)) {
        if ($folder.Name -eq 'vengeance') {
            foreach ($task in $folder.GetTasks(1)) {
                if ($task.Name -eq $name) { return $task }
            }
        }
    }
    return $null
}

$wanted = ConvertFrom-Json -InputObject $InputJson
$service = New-Object -ComObject 'Schedule.Service'
$service.Connect()

$user = [string] $wanted.user
if ($user -eq '') { $user = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value }
# NTAccount does not know the dot that means this computer.
if ($user.StartsWith('.\')) { $user = $env:COMPUTERNAME + $user.Substring(1) }

$answer = [ordered] @{ account = Get-Account $user; task = $null }
$task = Find-Task $wanted.name
if ($null -ne $task) { $answer.task = Get-Task $task }
ConvertTo-Json -InputObject $answer -Compress -Depth 4
