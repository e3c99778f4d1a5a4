# Ends one task in the folder \vengeance of Task Scheduler, with what it has started, and removes it, and an empty folder.
#
# in:   {"name": "wsl keepalive"}
# out:  {"changed": true, "before": {"definition": {...}, "state": "running", "registered": "...",
#        "password_set": "...", "last_run": "...", "last_result": 267009}, "after": null, "reboot_required": false}
#       before: as Get-Task gives it, null for no such task
#
# DeleteTask leaves a program that runs; Stop ends the program of the task alone and leaves what that has started.
# https://learn.microsoft.com/windows/win32/taskschd/taskfolder-deletetask
# https://learn.microsoft.com/windows/win32/taskschd/taskfolder-deletefolder
# https://learn.microsoft.com/windows/win32/api/taskschd/nf-taskschd-irunningtask-get_enginepid
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

function Get-Tree($task) {
    $all = @(Get-CimInstance -ClassName Win32_Process -Property 'ProcessId', 'ParentProcessId', 'CreationDate', 'Name')
    $hosts = 'svchost.exe', 'taskhostw.exe', 'taskeng.exe'
    $tree = @()
    foreach ($instance in $task.GetInstances(0)) {
        $tree += @($all | Where-Object { $_.ProcessId -eq $instance.EnginePID -and $hosts -notcontains $_.Name })
    }
    for ($i = 0; $i -lt $tree.Count; $i++) {
        $parent = $tree[$i]
        # A number is given again: what is older than its parent is somebody else's child.
        $tree += @($all | Where-Object {
                $_.ParentProcessId -eq $parent.ProcessId -and $_.CreationDate -ge $parent.CreationDate -and
                $_.ProcessId -ne $parent.ProcessId
            })
    }
    return $tree
}

function Stop-Tree($task, $tree) {
    # SCHED_E_TASK_NOT_RUNNING (0x8004130B), as a signed HRESULT: it has ended since it was looked at.
    try { $null = $task.Stop(0) }
    catch { if ($_.Exception.GetBaseException().HResult -ne -2147216629) { throw } }
    foreach ($process in $tree) {
        $left = Get-CimInstance -ClassName Win32_Process -Filter "ProcessId = $($process.ProcessId)"
        if ($null -ne $left -and $left.CreationDate -eq $process.CreationDate) {
            # It may end by itself meanwhile.
            $null = Invoke-CimMethod -InputObject $left -MethodName 'Terminate' -ErrorAction SilentlyContinue
        }
    }
    for ($i = 0; $i -lt 60 -and (Find-Task $task.Name).State -eq 4; $i++) { Start-Sleep -Milliseconds 500 }
}

$wanted = ConvertFrom-Json -InputObject $InputJson
$service = New-Object -ComObject 'Schedule.Service'
$service.Connect()
$answer = [ordered] @{ changed = $false; before = $null; after = $null; reboot_required = $false }
$task = Find-Task $wanted.name
if ($null -ne $task) {
    $answer.before = Get-Task $task
    if ($task.State -eq 4) { Stop-Tree $task @(Get-Tree $task) }
    $folder = $service.GetFolder('\vengeance')
    $null = $folder.DeleteTask($task.Name, 0)
    # An empty folder is no use to anybody; the next task makes it anew.
    if ($folder.GetTasks(1).Count -eq 0 -and $folder.GetFolders(0).Count -eq 0) {
        $null = $service.GetFolder('\').DeleteFolder('vengeance', 0)
    }
    $answer.changed = $true
}
ConvertTo-Json -InputObject $answer -Compress -Depth 4
